//! A large file of backups read by two threads, each one half of its entries.
//!
//! Only for a good file in one of the two usual shapes (the array, or an object that begins with it); for any other, and
//! for every mistake, `None`: then the file is read from its beginning to its end, which says what is wrong and where.

use super::super::wire::Entry;
use super::collected::{Collected, whole};

/// Reads a file that is as it should be.
pub(super) fn read(bytes: &[u8]) -> Option<Collected> {
    let (in_object, first) = beginning(bytes)?;
    let split = middle(bytes, first)?;
    let (head, tail) = std::thread::scope(|scope| {
        let head = scope.spawn(|| entries(&bytes[first..split]));
        let tail = entries(&bytes[split + 1..]);
        (head.join().ok().flatten(), tail)
    });
    let ((mut file, after_head), (tail, after_tail)) = (head?, tail?);
    // The text before the split is whole entries, or the split was in the middle of one.
    if after_head != End::OfText {
        return None;
    }
    let End::OfArray(rest) = after_tail else { return None };
    let rest = &bytes[split + 1 + rest..];
    if in_object {
        // What follows must complete the object: read as if the array had been empty.
        whole(&[br#"{"backups":["#, rest].concat()).ok()?;
    } else if !skip_blanks(rest.strip_prefix(b"]")?).is_empty() {
        return None;
    }
    file.join(tail)?;
    Some(file)
}

/// What JSON calls white space, and nothing else.
fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let blanks = bytes.iter().take_while(|byte| blank(byte)).count();
    &bytes[blanks..]
}

/// Whether the array is inside an object, and where its first entry may begin.
fn beginning(bytes: &[u8]) -> Option<(bool, usize)> {
    let after = |rest: &[u8]| bytes.len() - rest.len();
    let text = skip_blanks(bytes);
    if let Some(rest) = text.strip_prefix(b"[") {
        return Some((false, after(rest)));
    }
    let key = skip_blanks(text.strip_prefix(b"{")?);
    let colon = skip_blanks(key.strip_prefix(br#""backups""#)?);
    let array = skip_blanks(colon.strip_prefix(b":")?);
    Some((true, after(array.strip_prefix(b"[")?)))
}

/// A comma between two objects, near the middle. It may be inside a text: then neither half can be read, and nothing is lost.
fn middle(bytes: &[u8], first: usize) -> Option<usize> {
    let from = first + (bytes.len() - first) / 2;
    let brace = |at: &usize| bytes[*at] == b'}';
    (from..bytes.len()).filter(brace).find_map(|at| {
        let rest = skip_blanks(&bytes[at + 1..]);
        let next = skip_blanks(rest.strip_prefix(b",")?);
        // An entry's first key makes it likely that this is where one begins, and not an inner object.
        next.starts_with(b"{\"").then_some(bytes.len() - rest.len())
    })
}

/// Where reading ended, from the beginning of what was read.
#[derive(PartialEq, Eq)]
enum End {
    OfText,
    /// At the closing bracket.
    OfArray(usize),
}

/// Reads entries with commas between them.
fn entries(bytes: &[u8]) -> Option<(Collected, End)> {
    let mut file = Collected::default();
    let mut at = 0;
    loop {
        let mut one = serde_json::Deserializer::from_slice(&bytes[at..]).into_iter::<Entry<'_>>();
        let entry = one.next()?.ok()?;
        at += one.byte_offset();
        // Its index is of no use here: a mistake is looked for again.
        file.add::<serde::de::value::Error>(0, &entry).ok()?;
        let rest = skip_blanks(&bytes[at..]);
        at = bytes.len() - rest.len();
        match rest.first() {
            None => return Some((file, End::OfText)),
            Some(b']') => return Some((file, End::OfArray(at))),
            Some(b',') => at += 1,
            Some(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries of two instances by turns, one of them with a text that looks like a split.
    fn list(count: usize) -> String {
        let entry = |n: usize| {
            format!(
                r#"{{"id": "b{n}", "instance_id": "i{}", "name": "x}},{{\"y", "databases": [{{"name": "d"}}, {{"name": "e"}}]}}"#,
                n % 2
            )
        };
        let entries: Vec<String> = (0..count).map(entry).collect();
        format!("[{}]", entries.join(" ,\n"))
    }

    #[test]
    fn both_ways_read_the_same() {
        let list = list(101);
        for text in [
            list.clone(),
            format!(" {list} \n"),
            format!(r#"{{"backups": {list}, "total_count": 101}}"#),
            format!(r#"{{ "backups" :{list}}} "#),
        ] {
            let both = whole(text.as_bytes()).unwrap().groups;
            let halves = read(text.as_bytes()).map(|file| file.groups);
            // Where the split falls into a text or an inner object the answer is `None`, never another one.
            assert!(halves.is_none_or(|halves| halves == both), "{text}");
        }
        let plain =
            r#"[{"id": "a", "instance_id": "i"}, {"id": "b", "instance_id": "j"}, {"id": "a", "instance_id": "i"}]"#;
        assert_eq!(
            read(plain.as_bytes()).unwrap().groups,
            whole(plain.as_bytes()).unwrap().groups
        );
    }

    #[test]
    fn what_is_wrong_is_left_to_the_other_way() {
        let good = r#"{"id": "a"}, {"id": "b"}, {"id": "c"}"#;
        for text in [
            format!("[{good}"),
            format!("[{good}] x"),
            format!("[{good},]"),
            format!("[{good} {{\"id\": \"d\"}}]"),
            format!("[{good}, {{\"name\": \"no id\"}}]"),
            format!("[{good}, {{\"id\": \"a\", \"size\": 1}}]"),
            format!("[{good}, {{\"id\": \"a\", \"instance_id\": \"i\"}}]"),
            format!(r#"{{"backups": [{good}]"#),
            format!(r#"{{"backups": [{good}], "backups": []}}"#),
            format!(r#"{{"backups": [{good}]]}}"#),
        ] {
            assert!(whole(text.as_bytes()).is_err(), "{text}");
            assert!(read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
