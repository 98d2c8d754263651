// What tests/ops/check-page asks of the pages: node check.cjs SHOTS WELL ILL; SHOTS is empty where nobody wants pictures
const { chromium } = require('playwright-core');
const axe = require('axe-core');
const { execFileSync } = require('child_process');
const [shots, well, ill, ...freeze] = process.argv.slice(2);
const wrong = [];
const need = (at, good, what) => { if (!good) wrong.push(`${at}: ${what}`); };
const LIMIT = 200_000;
// Every look of the first page; of the others each colour scheme and each width once, unless pictures are wanted.
const ALL_LOOKS = [['light', 1280], ['light', 390], ['dark', 1280], ['dark', 390]];
const TWO_LOOKS = [['light', 1280], ['dark', 390]];

// Loads without script, as the page is meant; names what else was asked for and what the browser complained of.
async function load(browser, at, url, options, shot) {
  const context = await browser.newContext({ ...options, javaScriptEnabled: false });
  const page = await context.newPage();
  const asked = [];
  page.on('request', request => { if (!request.url().startsWith('data:')) asked.push(request.url()); });
  page.on('console', message => { if (['error', 'warning'].includes(message.type())) wrong.push(`${at}: ${message.text()}`); });
  page.on('dialog', dialog => { wrong.push(`${at}: a dialog`); dialog.dismiss(); });
  const answer = await page.goto(url, { waitUntil: 'load' });
  need(at, answer.status() === 200, `status ${answer.status()}`);
  need(at, asked.length === 1, `asked for ${asked}`);
  if (shots) {
    await page.screenshot({ path: `${shots}/${shot}.png`, fullPage: true });
    await page.screenshot({ path: `${shots}/${shot}-top.png` });
  }
  return { context, page };
}

// axe needs script, which the page itself forbids. All tables are unfolded for it.
async function audit(browser, at, url, options) {
  const context = await browser.newContext({ ...options, bypassCSP: true });
  const page = await context.newPage();
  // Without the meta refresh, which axe cannot know to be one that a reader can switch off.
  await page.goto(url + (url.includes('?') ? '&' : '?') + 'refresh=off');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  need(at, wide <= options.viewport.width, `it is ${wide} wide`);
  await page.evaluate(() => document.querySelectorAll('details').forEach(d => { d.open = true; }));
  await page.evaluate(axe.source);
  const { violations, passes } = await page.evaluate(() => axe.run());
  console.log(`${at}: ${violations.length} axe violations, ${passes.length} rules passed`);
  for (const v of violations) wrong.push(`${at}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | ')}`);
  await context.close();
}

// From the top with Tab alone: everything that can be reached shows its focus, and Enter opens a folded table.
async function keyboard(page, at) {
  const seen = [];
  let opened = false;
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab');
    const focus = await page.locator(':focus').first();
    if (await focus.count() === 0) break;
    const [what, outline, box] = [await focus.evaluate(e => `${e.tagName.toLowerCase()} ${(e.textContent || '').slice(0, 30)}`),
      await focus.evaluate(e => getComputedStyle(e).outlineStyle), await focus.boundingBox()];
    need(at, outline !== 'none', `no focus to be seen on ${what}`);
    need(at, box && box.width > 0 && box.height > 0, `the focus is nowhere on ${what}`);
    seen.push(what);
    if (what.startsWith('summary') && !opened) {
      await page.keyboard.press('Enter');
      opened = await focus.evaluate(e => e.parentElement.open);
      need(at, opened, 'Enter does not open a folded table');
    }
  }
  need(at, seen.length > 5 && opened, `by keyboard only ${seen.length} places are reached`);
  console.log(`${at}: ${seen.length} places reached by keyboard`);
}

async function picturesOfDocs(browser, well, policy) {
  const page = await browser.newPage({ viewport: { width: 1100, height: 780 } });
  await page.goto(well);
  await page.screenshot({ path: `${shots}/status-page.png` });
  await page.locator('section[aria-labelledby=instances]').screenshot({ path: `${shots}/timelines.png` });
  await page.goto(policy);
  await page.screenshot({ path: `${shots}/forecast.png`, clip: { x: 0, y: 60, width: 1100, height: 1070 }, fullPage: true });
}

async function ready(url, good, what) {
  for (let tries = 0; tries < 300; tries++) {
    const status = await (await fetch(url + 'api/v1/status')).json();
    if (good(status)) return status;
    await new Promise(done => setTimeout(done, 200));
  }
  throw new Error(`never: ${what}`);
}

// What a page must say, beyond looking well.
const SAYS = {
  well: ['Tonight', 'Policies', 'Last run', 'Next run', 'Last deletions', 'Saved by this month', 'USD a month', 'production', 'everything-else', 'Storage', 'Holds', 'ends in', 'Instances and their backups'],
  ill: ['2 things need a look', 'Configuration', 'stays in force', 'found zero', 'Refused by max_deletions, policy production',
    'approve production', 'dry-run', 'only by apply', 'ends in', 'kept for good', "<script>document.title='hold'</script>", '"><img src=x onerror=alert(1)>',
    '<script>document.title="owned"</script>', '</title></style><style>*{display:none}</style>'],
  frozen: ['Frozen', 'audit of \\u{202e}everything', 'Nothing is deleted', 'thaw'],
};

(async () => {
  await ready(well, status => status.policies.every(p => p.last_run) && status.storage.length, 'the demo ran its policies');
  await ready(ill, status => !status.config.last_reload_ok && status.policies.filter(p => p.last_run).length > 1, 'the other one is ill');
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
  const pages = { well, ill };
  for (const name of ['well', 'ill']) {
    const html = await (await fetch(pages[name])).text();
    const own = html.match(/href="(\/\?instance=[^"]+)"/);
    need(name, own, 'no instance has a page of its own');
    if (own) pages[`${name}-one`] = new URL(own[1], pages[name]).href;
    const why = html.match(/href="(\/why\/[^"]+)"/);
    if (why) pages[`${name}-why`] = new URL(why[1], pages[name]).href;
    pages[`${name}-policy`] = new URL('/policy/production', pages[name]).href;
    pages[`${name}-runs`] = new URL('/history', pages[name]).href;
  }
  const look = async (name, url) => {
    const answer = await fetch(url);
    const size = (await answer.arrayBuffer()).byteLength;
    const headers = Object.fromEntries(answer.headers);
    console.log(`${name}: ${size} bytes; ${headers['content-security-policy']}`);
    need(name, size < LIMIT, `the page is ${size} bytes`);
    need(name, /^default-src 'none'; style-src 'sha256-[^']+'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'$/
      .test(headers['content-security-policy']), 'the policy allows something else');
    need(name, headers['x-content-type-options'] === 'nosniff' && headers['referrer-policy'] === 'no-referrer'
      && headers['x-frame-options'] === 'DENY' && headers['cache-control'] === 'no-store' && !('set-cookie' in headers), 'its headers');
    for (const [colorScheme, width] of ['well', 'ill'].includes(name) || shots ? ALL_LOOKS : TWO_LOOKS) {
      const at = `${name} ${width} ${colorScheme}`;
      const options = { colorScheme, viewport: { width, height: 900 } };
      const { context, page } = await load(browser, at, url, options, `${name}-${width}-${colorScheme}`);
      if (colorScheme === 'light') {
        // Folded tables too.
        const text = (await page.locator('main').textContent()).replace(/\s+/g, ' ');
        for (const words of SAYS[name] || []) need(at, text.includes(words), `it does not say ${words}`);
        need(at, !/[\u202a-\u202e\u2066-\u2069\u0007]/.test(text), 'names turn or hide text');
        if (name === 'well' && width === 1280) await keyboard(page, at);
      }
      need(at, / - rds-retentiond$/.test(await page.title()), `its title is ${await page.title()}`);
      await context.close();
      await audit(browser, at, url, options);
    }
  };
  for (const [name, url] of Object.entries(pages)) await look(name, url);
  // Frozen by command, while the daemon runs.
  execFileSync(freeze[0], freeze.slice(1));
  await ready(ill, status => status.freeze && status.policies.some(p => p.last_run?.refusal?.limit === 'freeze'), 'the freeze acts');
  await look('frozen', ill);
  if (shots) await picturesOfDocs(browser, well, pages['well-policy']);
  // On paper: not the screen's colours, nothing that only a screen can do.
  const printed = await browser.newContext({ javaScriptEnabled: false });
  const paper = await printed.newPage();
  await paper.goto(well);
  const pdf = await paper.pdf({ ...(shots && { path: `${shots}/well.pdf` }), format: 'A4' });
  need('print', pdf.length > 10_000, 'nothing is printed');
  await browser.close();
  for (const line of wrong) console.log('WRONG', line);
  process.exit(wrong.length ? 1 : 0);
})().catch(error => { console.error(error); process.exit(1); });
