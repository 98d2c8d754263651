//! The engines whose backups can be deleted, and what differs from one to the next: one row each.
//!
//! Another service is another row here, its deletion call in `rds::deletion_permit`, and how the answer to it is read in `rds::delete`.

use super::word::Word;

/// Database engine of an instance and its backups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// RDS for SQL Server, whose backups are deleted in batches.
    SqlServer,
    /// RDS for `MySQL`.
    MySql,
    /// RDS for PostgreSQL.
    PostgreSql,
    /// RDS for `MariaDB`.
    MariaDb,
    /// Any other engine, or none given (empty). Kept.
    Other(Word),
}

/// What differs from one engine to the next.
struct EngineRow {
    engine: Engine,
    /// The API's spelling (`datastore.type`).
    name: &'static str,
    /// The configuration's (`select.engines`): the same in small letters.
    word: &'static str,
    /// Whether one request deletes many backups, and not one each: only of SQL Server (API pages "Deleting Manual Backups in Batches" and
    /// "Deleting a Manual Backup").
    is_deleted_in_batches: bool,
    /// In what its listing counts sizes, in bytes.
    unit_of_size: u64,
}

const KIB: u64 = 1024;

static TABLE: [EngineRow; 4] = [
    EngineRow {
        engine: Engine::SqlServer,
        name: "SQLServer",
        word: "sqlserver",
        is_deleted_in_batches: true,
        unit_of_size: KIB,
    },
    EngineRow {
        engine: Engine::MySql,
        name: "MySQL",
        word: "mysql",
        is_deleted_in_batches: false,
        unit_of_size: KIB,
    },
    EngineRow {
        engine: Engine::PostgreSql,
        name: "PostgreSQL",
        word: "postgresql",
        is_deleted_in_batches: false,
        unit_of_size: KIB,
    },
    EngineRow {
        engine: Engine::MariaDb,
        name: "MariaDB",
        word: "mariadb",
        is_deleted_in_batches: false,
        unit_of_size: KIB,
    },
];

impl Engine {
    /// How a configuration names those whose backups can be deleted.
    pub const WORDS: [&'static str; TABLE.len()] = {
        let mut words = [""; TABLE.len()];
        let mut at = 0;
        while at < words.len() {
            words[at] = TABLE[at].word;
            at += 1;
        }
        words
    };

    /// Those whose backups can be deleted.
    pub fn known() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.engine.clone())
    }

    fn row(&self) -> Option<&'static EngineRow> {
        TABLE.iter().find(|row| row.engine == *self)
    }

    /// Reads `datastore.type`. Case is ignored, as the instance listing's spelling varies (API reference, section 4).
    pub fn parse(text: &str) -> Self {
        let row = TABLE.iter().find(|row| text.eq_ignore_ascii_case(row.name));
        row.map_or_else(|| Self::Other(Word::from(text)), |row| row.engine.clone())
    }

    /// The API's spelling.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(text) => text,
            known => known.row().map_or("", |row| row.name),
        }
    }

    /// Whether its backups can be deleted.
    pub fn is_known(&self) -> bool {
        self.row().is_some()
    }

    /// Whether one request deletes many backups, and not one each.
    pub fn is_deleted_in_batches(&self) -> bool {
        self.row().is_some_and(|row| row.is_deleted_in_batches)
    }

    /// In what its listing counts sizes, in bytes.
    pub fn unit_of_size(&self) -> u64 {
        self.row().map_or(KIB, |row| row.unit_of_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `select.engines` takes the words and reads them as the API's names.
    #[test]
    fn every_engine_is_read_from_its_name_and_from_its_word_in_the_configuration() {
        assert_eq!(
            Engine::WORDS.map(Engine::parse).to_vec(),
            Engine::known().collect::<Vec<_>>()
        );
        for engine in Engine::known() {
            assert!(engine.is_known());
            assert_eq!(Engine::parse(engine.as_str()), engine);
        }
        let other = Engine::parse("TaurusDB");
        assert!(!other.is_known() && !other.is_deleted_in_batches());
        assert_eq!(other.as_str(), "TaurusDB");
    }
}
