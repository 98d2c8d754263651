//! Whose rules time zones follow: the newest at hand.
//!
//! Governments move their clocks at a few weeks' notice, and an hour's difference can delete the wrong backup. A host's
//! zoneinfo is upgraded with the host; the rules compiled into the program are as old as the program. Files are read when
//! a configuration is loaded and not again: a decision reads none.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::diagnostics::Problem;
use crate::retention::zone::{Zone, is_zone_name};

/// Where hosts have their zoneinfo.
const ZONEINFO: &str = "/usr/share/zoneinfo";
/// The largest file of a zone has 4 KB.
const MAX_FILE: u64 = 1 << 18;

/// The rules that are at hand, and which of them are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSource {
    /// The host's zoneinfo; `None` where it has none.
    pub host: Option<HostZones>,
    /// Whether `TZDIR` names the directory: then it is followed whatever its edition.
    by_hand: bool,
}

/// The zoneinfo of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostZones {
    /// Its directory.
    pub dir: PathBuf,
    /// Its edition, as `2026c`; `None` where it has no file that says so.
    pub edition: Option<String>,
}

impl Serialize for ZoneSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            /// `host` or `compiled`.
            source: &'static str,
            /// `null` where the host's zoneinfo does not say.
            edition: Option<&'a str>,
            host_dir: Option<std::borrow::Cow<'a, str>>,
            host_edition: Option<&'a str>,
            compiled_edition: &'static str,
        }
        let host = self.host.as_ref();
        let (host_edition, compiled) = (host.and_then(|host| host.edition.as_deref()), Zone::compiled_edition());
        let is_compiled = self.is_compiled();
        let view = View {
            source: if is_compiled { "compiled" } else { "host" },
            edition: if is_compiled { Some(compiled) } else { host_edition },
            host_dir: host.map(|host| host.dir.to_string_lossy()),
            host_edition,
            compiled_edition: compiled,
        };
        view.serialize(serializer)
    }
}

impl ZoneSource {
    /// Looks for the host's zoneinfo: in the directory of `$TZDIR` if that is set, else where hosts have it.
    pub fn find(tzdir: Option<&Path>) -> Self {
        let dir = tzdir.filter(|dir| !dir.as_os_str().is_empty());
        let by_hand = dir.is_some();
        let dir = dir.unwrap_or(Path::new(ZONEINFO)).to_owned();
        // A directory without zones is none, as an image is left with when the package was purged.
        let host = [
            "UTC",
            "Etc/UTC",
            "Africa",
            "America",
            "Asia",
            "Europe",
            "Australia",
            "Pacific",
        ];
        let has_zones = host.iter().any(|name| dir.join(name).exists());
        Self {
            host: has_zones.then(|| HostZones {
                edition: edition_of(&dir),
                dir,
            }),
            by_hand,
        }
    }

    /// Whether the rules compiled into the program are followed rather than the host's.
    pub fn is_compiled(&self) -> bool {
        let Some(host) = &self.host else { return true };
        let edition = host.edition.as_deref().and_then(order);
        !self.by_hand && edition.is_some_and(|edition| Some(edition) < order(Zone::compiled_edition()))
    }

    /// Whether the rules that are compiled in are older than a year in that year and month. An edition carries no date: it is
    /// taken to be of the middle of its year.
    pub fn is_compiled_outdated(year: i32, month: u32) -> bool {
        let edition = order(Zone::compiled_edition()).map_or(0, |(edition, ..)| edition);
        (year, month) > (edition.saturating_add(1), 6)
    }
}

impl fmt::Display for ZoneSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compiled = Zone::compiled_edition();
        let Some(host) = &self.host else {
            return write!(f, "{compiled}, compiled in; this host has no zoneinfo");
        };
        let (edition, dir) = (host.edition.as_deref().unwrap_or("unknown edition"), host.dir.display());
        if self.is_compiled() {
            write!(f, "{compiled}, compiled in; newer than this host's {edition} ({dir})")
        } else {
            write!(f, "{edition}, this host's ({dir}); compiled in: {compiled}")
        }
    }
}

/// An edition as something that can be compared: a year, and letters that grow longer after `z`.
fn order(edition: &str) -> Option<(i32, usize, &str)> {
    let (year, letters) = edition.split_at_checked(4)?;
    let letters = letters.split(|c: char| !c.is_ascii_lowercase()).next()?;
    Some((year.parse().ok()?, letters.len(), letters))
}

fn edition_of(dir: &Path) -> Option<String> {
    let of = |file: &str, prefix: &str| {
        let bytes = read_file(&dir.join(file), 256).ok()??;
        let text = String::from_utf8_lossy(&bytes);
        let edition = text.lines().next()?.trim().strip_prefix(prefix)?.trim();
        let is_edition = order(edition).is_some() && edition.len() <= 20 && edition.is_ascii();
        is_edition.then(|| edition.to_owned())
    };
    of("tzdata.zi", "# version ")
        .or_else(|| of("+VERSION", ""))
        .or_else(|| of("version", ""))
}

/// The beginning of a regular file; `None` where there is no file.
fn read_file(file: &Path, most: u64) -> Result<Option<Vec<u8>>, String> {
    let is_regular = match fs::metadata(file) {
        Ok(metadata) => metadata.is_file(),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error.to_string()),
    };
    // Opening a pipe would wait for its writer.
    if !is_regular {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    Ok(Some(bytes))
}

/// The zones of one configuration, each read once.
pub(super) struct Zones {
    source: ZoneSource,
    known: RefCell<BTreeMap<String, Option<Zone>>>,
    warnings: RefCell<Vec<Problem>>,
}

impl Zones {
    pub(super) fn new(source: ZoneSource) -> Self {
        Self {
            source,
            known: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// What the rules came from, and what was odd about them.
    pub(super) fn into_parts(self) -> (ZoneSource, Vec<Problem>) {
        (self.source, self.warnings.into_inner())
    }

    /// A zone by its IANA name; `None` where neither the host nor the program knows it.
    pub(super) fn get(&self, name: &str) -> Option<Zone> {
        if name == Zone::UTC.name() {
            return Some(Zone::UTC);
        }
        if !is_zone_name(name) {
            return None;
        }
        if let Some(known) = self.known.borrow().get(name) {
            return *known;
        }
        let zone = if self.source.is_compiled() {
            Zone::compiled(name).or_else(|| self.of_host(name))
        } else {
            self.of_host(name).or_else(|| Zone::compiled(name))
        };
        let is_first = self.known.borrow().values().all(Option::is_none);
        if zone.is_some() && is_first && self.source.host.is_none() {
            self.warn_of_no_zoneinfo();
        }
        self.known.borrow_mut().insert(name.to_owned(), zone);
        zone
    }

    fn of_host(&self, name: &str) -> Option<Zone> {
        let file = self.source.host.as_ref()?.dir.join(name);
        let zone = read_file(&file, MAX_FILE)
            .transpose()?
            .and_then(|bytes| Zone::from_tzif(name, &bytes).map_err(|why| why.to_string()));
        let why = match zone {
            Ok(zone) => return Some(zone),
            Err(why) => why,
        };
        // A directory of zones, as `America`, is no zone and no damage.
        if Zone::compiled(name).is_some() || !file.is_dir() {
            let edition = Zone::compiled_edition();
            self.warnings.borrow_mut().push(Problem::with_file(
                &file,
                format!("the rules of the time zone `{name}` cannot be used: {why}"),
                Some(&format!(
                    "those compiled in (edition {edition}) are followed instead, if it is among them; reinstall the host's tzdata"
                )),
            ));
        }
        None
    }

    fn warn_of_no_zoneinfo(&self) {
        let edition = Zone::compiled_edition();
        let dir = Path::new(ZONEINFO);
        self.warnings.borrow_mut().push(Problem::with_file(
            dir,
            format!("this host has no zoneinfo: time zones follow the rules compiled in, edition {edition}"),
            Some("install tzdata (or let `TZDIR` name a zoneinfo directory), so that changed rules arrive with the host's upgrades"),
        ));
    }
}
