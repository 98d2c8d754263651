//! Made alike in several tests.

use super::{Engine, Instance, InstanceId, InstanceLife, ProjectName};

/// An instance that is listed.
pub(super) fn instance() -> Instance {
    Instance {
        engine: Engine::SqlServer,
        project: ProjectName::from("prod"),
        id: InstanceId::from("i1in04"),
        name: "mssql-1".into(),
        tags: Vec::new(),
        enterprise_project: None,
        life: InstanceLife::Listed,
    }
}
