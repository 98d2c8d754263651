//! Spans, read, written, subtracted and ended, in zones with odd clocks.

use super::*;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn before(span: &str, at: &str, zone: Zone) -> String {
    Span::parse(span)
        .unwrap()
        .before(utc(at), zone)
        .unwrap()
        .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[test]
fn reads_and_writes() {
    for text in ["1y6mo", "3d", "36h", "1y2mo3w4d5h6min7s", "9999y"] {
        assert_eq!(Span::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Span::parse("0s").unwrap(), Span::ZERO);
    assert_eq!(Span::parse("36h").unwrap(), Span::hours(36));
    assert_eq!(Span::parse("3d").unwrap(), Span::days(3));
    assert_eq!(Span::ZERO.to_string(), "0s");
    assert_eq!(Span::try_from("36h".to_owned()), Ok(Span::hours(36)));
    assert_eq!(Span::try_from("36".to_owned()), Err(SpanError::NoUnit("36".into())));
    assert_eq!(String::from(Span::hours(36)), "36h");
}

#[test]
fn is_roughly_so_many_seconds() {
    let seconds = |text: &str| Span::parse(text).unwrap().approximate_seconds();
    let units = ["1y", "1mo", "1w", "1d", "1h", "1min", "1s"].map(seconds);
    assert_eq!(units, [31_556_952, 2_629_746, 604_800, 86_400, 3_600, 60, 1]);
    assert_eq!(
        seconds("2y3mo4w5d6h7min8s"),
        63_113_904 + 7_889_238 + 33 * 86_400 + 22_028
    );
    assert_eq!(seconds("0s"), 0);
    assert!(Span::ZERO.is_zero() && !Span::days(1).is_zero());
    let now: DateTime<Utc> = "2026-11-23T03:00:00Z".parse().unwrap();
    // A grace of zero is over at once, also on a new state.
    assert_eq!(Span::ZERO.before(now, Zone::UTC), Some(now));
    let errors = [
        SpanError::Empty,
        SpanError::AmbiguousM,
        SpanError::TooLarge,
        SpanError::Order("y"),
    ];
    assert!(errors.iter().all(|why| !why.to_string().is_empty()));
    assert_eq!(format!("{:>4}", Span::days(3)), "  3d");
}

#[test]
fn refuses_what_is_ambiguous_or_out_of_order() {
    assert_eq!(Span::parse("6m"), Err(SpanError::AmbiguousM));
    assert_eq!(Span::parse("1y6m"), Err(SpanError::AmbiguousM));
    assert_eq!(Span::parse("30"), Err(SpanError::NoUnit("30".into())));
    assert_eq!(Span::parse("6mo1y"), Err(SpanError::Order("y")));
    assert_eq!(Span::parse("1d1d"), Err(SpanError::Order("d")));
    assert_eq!(Span::parse("-1d"), Err(SpanError::NoNumber("-1d".into())));
    assert_eq!(Span::parse("1 d"), Err(SpanError::UnknownUnit(" d".into())));
    assert_eq!(Span::parse("1M"), Err(SpanError::UnknownUnit("M".into())));
    assert_eq!(Span::parse("1.5d"), Err(SpanError::UnknownUnit(".5d".into())));
    assert_eq!(Span::parse("99999999999999999999d"), Err(SpanError::TooLarge));
    assert_eq!(Span::parse("10001y"), Err(SpanError::TooLarge));
    assert!(Span::parse("10000y").is_ok() && Span::parse("120000mo").is_ok() && Span::parse("120001mo").is_err());
    assert_eq!(Span::parse(""), Err(SpanError::Empty));
}

#[test]
fn months_clamp_restic_rolled_over() {
    let zone = Zone::UTC;
    assert_eq!(before("1mo", "2026-03-31T10:00:00Z", zone), "2026-02-28T10:00:00Z");
    assert_eq!(before("1mo", "2028-03-31T10:00:00Z", zone), "2028-02-29T10:00:00Z");
    assert_eq!(before("1y", "2028-02-29T10:00:00Z", zone), "2027-02-28T10:00:00Z");
    // Months first, then days: 31 March - 1 month = 28 February, - 1 day = 27 February.
    assert_eq!(before("1mo1d", "2026-03-31T10:00:00Z", zone), "2026-02-27T10:00:00Z");
}

#[test]
fn days_are_civil_and_hours_exact_across_dst() {
    let berlin = Zone::of("Europe/Berlin");
    // 29 March 2026: 02:00 CET becomes 03:00 CEST.
    assert_eq!(before("1d", "2026-03-29T10:00:00Z", berlin), "2026-03-28T11:00:00Z");
    assert_eq!(before("24h", "2026-03-29T10:00:00Z", berlin), "2026-03-28T10:00:00Z");
}

#[test]
fn every_unit_counts() {
    let at = "2026-06-30T12:00:00Z";
    assert_eq!(before("1y2mo", at, Zone::UTC), "2025-04-30T12:00:00Z");
    assert_eq!(before("2w1d", at, Zone::UTC), "2026-06-15T12:00:00Z");
    assert_eq!(before("3h20min7s", at, Zone::UTC), "2026-06-30T08:39:53Z");
    assert_eq!(before("3w", at, Zone::UTC), "2026-06-09T12:00:00Z");
    // As many of one as of another.
    assert_eq!(before("1y1mo", at, Zone::UTC), "2025-05-30T12:00:00Z");
    assert_eq!(before("1mo1w", at, Zone::UTC), "2026-05-23T12:00:00Z");
    assert_eq!(before("2w2d", at, Zone::UTC), "2026-06-14T12:00:00Z");
}

#[test]
fn a_skipped_wall_clock_time_means_the_earlier_instant() {
    // 30 March 02:30 CEST less a day is 29 March 02:30, which does not exist: 01:30 CET, not 03:30 CEST.
    assert_eq!(
        before("1d", "2026-03-30T00:30:00Z", Zone::of("Europe/Berlin")),
        "2026-03-29T00:30:00Z"
    );
    // Half-hour change: Lord Howe skips 02:00 to 02:30 on 4 October 2026.
    assert_eq!(
        before("1d", "2026-10-04T15:15:00Z", Zone::of("Australia/Lord_Howe")),
        "2026-10-03T15:15:00Z"
    );
    // Samoa had no 30 December 2011 at all.
    assert_eq!(
        before("1d", "2011-12-30T22:00:00Z", Zone::of("Pacific/Apia")),
        "2011-12-29T22:00:00Z"
    );
}

#[test]
fn a_repeated_wall_clock_time_means_the_first_pass() {
    // 26 October 2026 02:30 CET less a day is 25 October 02:30, twice: 00:30Z and 01:30Z.
    assert_eq!(
        before("1d", "2026-10-26T01:30:00Z", Zone::of("Europe/Berlin")),
        "2026-10-25T00:30:00Z"
    );
    // Exact units never ask the wall clock.
    assert_eq!(
        before("1h", "2026-10-25T01:30:00Z", Zone::of("Europe/Berlin")),
        "2026-10-25T00:30:00Z"
    );
    assert_eq!(
        before("0s", "2026-10-25T01:30:00Z", Zone::of("Europe/Berlin")),
        "2026-10-25T01:30:00Z"
    );
}

#[test]
fn underflow_is_none() {
    assert_eq!(
        Span::parse("9999y")
            .unwrap()
            .before(utc("2016-01-01T00:00:00Z"), Zone::UTC)
            .map(|t| t < utc("2016-01-01T00:00:00Z")),
        Some(true)
    );
    let ancient = DateTime::<Utc>::MIN_UTC + TimeDelta::days(1);
    assert_eq!(Span::parse("1y").unwrap().before(ancient, Zone::UTC), None);
    assert_eq!(Span::parse("100h").unwrap().before(ancient, Zone::UTC), None);
}

#[test]
fn a_span_within_another_reaches_no_further_back_at_any_moment() {
    let texts = [
        "1h", "24h", "25h", "2d", "1d", "1d1h", "7d", "28d", "30d", "31d", "1mo", "1mo1d", "59d", "2mo", "1y", "365d",
        "366d", "1y1mo",
    ];
    let zones = [
        "Europe/Berlin",
        "Pacific/Apia",
        "America/St_Johns",
        "Australia/Lord_Howe",
    ]
    .map(Zone::of);
    let mut within = 0;
    for (short, long) in texts
        .iter()
        .flat_map(|short| texts.iter().map(move |long| (*short, *long)))
    {
        let (shorter, longer) = (Span::parse(short).unwrap(), Span::parse(long).unwrap());
        if !shorter.is_within(&longer) {
            continue;
        }
        within += 1;
        for zone in zones {
            for hours in 0..2_000 {
                // 2010-10-01 on, with all their changes; the second pass of an hour, too.
                let at = utc("2010-10-01T00:17:00Z") + TimeDelta::hours(hours * 7);
                assert!(
                    shorter.before(at, zone) >= longer.before(at, zone),
                    "{short} {long} {zone} {at}"
                );
            }
        }
    }
    assert!(within > 100, "{within}");
}

#[test]
fn the_ends_of_the_calendar_are_no_panic_and_keep() {
    let spans = [
        "1s",
        "1h",
        "1d",
        "1w",
        "1mo",
        "1y",
        "10000y",
        "120000mo",
        "3652425d",
        "10000y120000mo521775w3652425d87658200h",
    ];
    for span in spans.map(|text| Span::parse(text).unwrap()) {
        for zone in [
            Zone::UTC,
            Zone::of("Pacific/Kiritimati"),
            Zone::of("Pacific/Niue"),
            Zone::of("Europe/Berlin"),
        ] {
            let near = |end: DateTime<Utc>| {
                [0, 1, 3_600, 86_400].into_iter().flat_map(move |seconds| {
                    let by = TimeDelta::seconds(seconds);
                    [end.checked_add_signed(by), end.checked_sub_signed(by)]
                })
            };
            for at in near(DateTime::<Utc>::MIN_UTC).flatten() {
                let before = span.before(at, zone);
                assert!(
                    before.is_none_or(|before| before <= at + TimeDelta::days(2)),
                    "{span} {zone} {at}"
                );
                let _ = span.boundary_after(at, zone);
            }
            for at in near(DateTime::<Utc>::MAX_UTC).flatten() {
                assert!(
                    span.before(at, zone).is_none_or(|before| before <= at),
                    "{span} {zone} {at}"
                );
                let _ = span.boundary_after(at, zone);
            }
        }
    }
}

#[test]
fn the_boundary_is_where_subtraction_reaches_the_instant() {
    let zones = [
        Zone::UTC,
        Zone::of("Europe/Berlin"),
        Zone::of("Asia/Singapore"),
        Zone::of("America/St_Johns"),
        Zone::of("Australia/Lord_Howe"),
    ];
    for zone in zones {
        for span in ["1h", "1d", "7d", "1mo", "1y", "1y6mo2d3h"] {
            let span = Span::parse(span).unwrap();
            for at in [
                "2026-01-31T23:30:00Z",
                "2026-02-28T10:00:00Z",
                "2024-02-29T01:30:00Z",
                "2026-10-24T00:30:00Z",
            ] {
                let end = span.boundary_after(utc(at), zone).unwrap();
                assert!(span.before(end, zone).unwrap() >= utc(at));
                assert!(
                    span.before(end - TimeDelta::seconds(1), zone).unwrap() < utc(at),
                    "{span} {at} {zone}"
                );
            }
        }
    }
    assert_eq!(
        Span::days(7).boundary_after(utc("2026-01-01T00:00:00Z"), Zone::UTC),
        Some(utc("2026-01-08T00:00:00Z"))
    );
}

#[test]
fn the_boundary_is_a_whole_second() {
    let boundary = |span: &str, at| Span::parse(span).unwrap().boundary_after(utc(at), Zone::UTC).unwrap();
    assert_eq!(boundary("1h", "2026-10-01T12:00:00Z"), utc("2026-10-01T13:00:00Z"));
    assert_eq!(boundary("1h", "2026-10-01T12:00:00.5Z"), utc("2026-10-01T13:00:01Z"));
    assert_eq!(boundary("1d", "2026-10-01T12:00:00.5Z"), utc("2026-10-02T12:00:01Z"));
    // No second of 30 or 31 October is late enough: less a month, both end at 23:59:59 of 30 September.
    assert_eq!(boundary("1mo", "2026-09-30T23:59:59.5Z"), utc("2026-11-01T00:00:00Z"));
    assert_eq!(boundary("0s", "2026-10-01T12:00:00Z"), utc("2026-10-01T12:00:00Z"));
    // February has no 31st: the first second of March it is.
    assert_eq!(boundary("1mo", "2026-01-31T12:00:00Z"), utc("2026-03-01T00:00:00Z"));
}

#[test]
fn the_boundary_is_the_first_of_several() {
    // Found by fuzzing. Less a month, 30 and 31 October are both 30 September: the first of them is meant.
    let boundary = |span: &str, at, zone| Span::parse(span).unwrap().boundary_after(utc(at), zone).unwrap();
    assert_eq!(
        boundary("1mo", "2026-09-30T12:30:00Z", Zone::of("Europe/Berlin")),
        utc("2026-10-30T13:30:00Z")
    );
    // 02:30 on 25 October comes twice; less a day, both are 02:30 on the 24th, and so is the first.
    assert_eq!(
        boundary("1d", "2026-10-24T00:30:00Z", Zone::of("Europe/Berlin")),
        utc("2026-10-25T00:30:00Z")
    );
    // Less a day, 01:59:59 on 30 March is an hour later than 02:00, which the day before did not have.
    assert_eq!(
        boundary("1d", "2026-03-29T00:59:00Z", Zone::of("Europe/Berlin")),
        utc("2026-03-29T23:59:00Z")
    );
    assert_eq!(
        boundary("7d", "2026-03-29T00:59:00Z", Zone::of("Europe/Berlin")),
        utc("2026-04-04T23:59:00Z")
    );
}
