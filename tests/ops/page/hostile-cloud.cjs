// A proxy before the simulator that gives instances and backups names as a malicious tenant would choose them.
//   node hostile-cloud.cjs http://127.0.0.1:PORT
const http = require('http');
const cloud = new URL(process.argv[2]);
const names = [
  '<script>document.title="owned"</script>',
  '"><img src=x onerror="document.title=1">',
  "' onmouseover='document.title=1",
  '\u202eevil\u202c \u0007 \u2066turned\u2069',
  '</title></style><style>*{display:none}</style>',
  'a-name-without-any-place-to-break-it-'.repeat(20),
  'العربية עברית 夜間 🗄️',
];
// One name for one id, whenever it is listed.
const pick = id => [...String(id)].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 9973, 7);
const spoil = value => {
  if (Array.isArray(value)) return value.forEach(spoil);
  if (!value || typeof value !== 'object') return;
  // Instances and backups have an id; half of the backups keep their names, on which the policies look.
  if (typeof value.name === 'string' && value.id && (!('begin_time' in value) || pick(value.id) % 2)) {
    value.name += ` ${names[pick(value.id) % names.length]}`;
  }
  Object.values(value).forEach(spoil);
};
const server = http.createServer((request, response) => {
  const { method, url, headers } = request;
  // The signature covers the host that was asked for: headers pass as they are.
  const asked = http.request({ host: cloud.hostname, port: cloud.port, method, path: url, headers: { ...headers, 'accept-encoding': 'identity' } }, answer => {
    const parts = [];
    answer.on('data', part => parts.push(part));
    answer.on('end', () => {
      let body = Buffer.concat(parts);
      try { const json = JSON.parse(body); spoil(json); body = Buffer.from(JSON.stringify(json)); } catch { /* not JSON: as it is */ }
      const { 'content-length': _, 'transfer-encoding': __, 'content-encoding': ___, ...kept } = answer.headers;
      response.writeHead(answer.statusCode, { ...kept, 'content-length': body.length });
      response.end(body);
    });
  });
  asked.on('error', () => response.destroy());
  request.pipe(asked);
});
server.listen(0, '127.0.0.1', () => console.log(`listens on http://127.0.0.1:${server.address().port}`));
