//! What a policy says: whom it selects, what it keeps, how much it may delete.
//!
//! Every value here is already good: no zero counts, no empty rule sets, no unparsed zone. The words people type are
//! `config::spec`; how they become this is `config::load`.

use std::num::NonZeroU32;

use super::{Backup, Engine, Instance, InstanceId, InstanceLife, Pattern, PolicyName, ProjectName, Span, Zone};

/// Whether a policy acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Expired backups are deleted.
    Enforce,
    /// Everything but the deletion: nothing is sent and no grace begins.
    DryRun,
}

impl Mode {
    /// As the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::DryRun => "dry-run",
        }
    }

    /// The mode of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Enforce, Self::DryRun]
            .into_iter()
            .find(|mode| mode.as_str() == name)
    }
}

/// The calendar periods that keep rules count by, smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// An hour of the zone's wall clock.
    Hour,
    /// A civil day.
    Day,
    /// An ISO week.
    Week,
    /// A civil month.
    Month,
    /// A civil quarter.
    Quarter,
    /// A civil year.
    Year,
}

impl Period {
    /// All of them, smallest first.
    pub const ALL: [Self; 6] = [
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
    ];
}

/// How many a rule keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// No end (`all`).
    All,
    /// At most so many; never zero.
    AtMost(NonZeroU32),
}

/// One keep rule. A backup stays when any rule keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeepRule {
    /// The newest so many.
    Last(Count),
    /// The newest of each of so many periods that hold a backup.
    Counted(Period, Count),
    /// All within a span of the newest COMPLETED backup of the series.
    Within(Span),
    /// The newest of each period within a span of the newest COMPLETED backup of the series.
    WithinPeriod(Period, Span),
}

impl KeepRule {
    /// Its value, as the configuration writes it.
    pub fn value(self) -> String {
        match self {
            Self::Last(Count::All) | Self::Counted(_, Count::All) => "all".to_owned(),
            Self::Last(Count::AtMost(most)) | Self::Counted(_, Count::AtMost(most)) => most.to_string(),
            Self::Within(span) | Self::WithinPeriod(_, span) => span.to_string(),
        }
    }

    /// The rule's own key in the configuration and in every report.
    pub fn key(self) -> &'static str {
        match self {
            Self::Last(_) => "last",
            Self::Counted(Period::Hour, _) => "hourly",
            Self::Counted(Period::Day, _) => "daily",
            Self::Counted(Period::Week, _) => "weekly",
            Self::Counted(Period::Month, _) => "monthly",
            Self::Counted(Period::Quarter, _) => "quarterly",
            Self::Counted(Period::Year, _) => "yearly",
            Self::Within(_) => "within",
            Self::WithinPeriod(Period::Hour, _) => "within_hourly",
            Self::WithinPeriod(Period::Day, _) => "within_daily",
            Self::WithinPeriod(Period::Week, _) => "within_weekly",
            Self::WithinPeriod(Period::Month, _) => "within_monthly",
            Self::WithinPeriod(Period::Quarter, _) => "within_quarterly",
            Self::WithinPeriod(Period::Year, _) => "within_yearly",
        }
    }
}

/// The keep rules of a policy: never empty, because a policy without one would keep nothing but the floor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepRules {
    rules: Vec<KeepRule>,
    names: Vec<Pattern>,
}

impl KeepRules {
    /// `None` when there is no rule; `names` alone is none, as it takes no slots.
    pub fn new(rules: Vec<KeepRule>, names: Vec<Pattern>) -> Option<Self> {
        (!rules.is_empty()).then_some(Self { rules, names })
    }

    /// The rules, in the configuration's order of keys.
    pub fn rules(&self) -> &[KeepRule] {
        &self.rules
    }

    /// Globs over names that are always kept and take no slots.
    pub fn names(&self) -> &[Pattern] {
        &self.names
    }
}

/// What a policy does with backups that deleted instances left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletedInstances {
    /// They are not selected.
    #[default]
    Ignore,
    /// The same rules as for a living instance.
    Include,
    /// As `Include`, until so long after the instance was first missed: then everything of it expires.
    ExpireAfter(Span),
}

/// One tag condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    /// The tag's key, exact.
    pub key: String,
    /// The tag's value, exact; `None` is any value (`*`).
    pub value: Option<String>,
}

/// Which instances and which of their backups a policy is about. `None` sets no limit; the default is everything that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Projects by their configured name.
    pub projects: Option<Vec<ProjectName>>,
    /// Engines; never empty, and each a known one.
    pub engines: Vec<Engine>,
    /// Globs over instance names.
    pub instance_names: Option<Vec<Pattern>>,
    /// Exact instance ids.
    pub instance_ids: Option<Vec<InstanceId>>,
    /// All must match.
    pub tags: Vec<TagFilter>,
    /// Exact enterprise project ids.
    pub enterprise_projects: Option<Vec<String>>,
    /// Globs over instance names that are left out.
    pub exclude_instance_names: Vec<Pattern>,
    /// Instance ids that are left out, in any case of letters.
    pub exclude_instance_ids: Vec<InstanceId>,
    /// Globs over backup names.
    pub backup_names: Option<Vec<Pattern>>,
    /// Globs over backup names that are out of scope.
    pub exclude_backup_names: Vec<Pattern>,
    /// Backups of deleted instances.
    pub deleted_instances: DeletedInstances,
}

impl Default for Selector {
    fn default() -> Self {
        Self {
            projects: None,
            engines: vec![Engine::SqlServer],
            instance_names: None,
            instance_ids: None,
            tags: Vec::new(),
            enterprise_projects: None,
            exclude_instance_names: Vec::new(),
            exclude_instance_ids: Vec::new(),
            backup_names: None,
            exclude_backup_names: Vec::new(),
            deleted_instances: DeletedInstances::Ignore,
        }
    }
}

/// How much is known about instances when a selector is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// Everything the listing gives.
    Full,
    /// Their ids only (`--backups FILE`): conditions on names, tags and projects match everything.
    IdsOnly,
}

impl Selector {
    /// Whether the policy claims this instance.
    pub fn claims(&self, instance: &Instance, knowledge: Knowledge) -> bool {
        let living = matches!(instance.life, InstanceLife::Listed);
        if !living && self.deleted_instances == DeletedInstances::Ignore {
            return false;
        }
        // An engine that is not known is no reason to look away: all backups of such an instance are kept.
        if instance.engine.is_known() && !self.engines.contains(&instance.engine) {
            return false;
        }
        // What is left out is left out in capitals, too; what is asked for is asked for exactly.
        let is_this = |id: &InstanceId| id.as_str().eq_ignore_ascii_case(instance.id.as_str());
        let by_id = self.instance_ids.as_ref().is_none_or(|ids| ids.contains(&instance.id))
            && !self.exclude_instance_ids.iter().any(is_this);
        by_id && (knowledge == Knowledge::IdsOnly || self.claims_by_description(instance))
    }

    fn claims_by_description(&self, instance: &Instance) -> bool {
        let tagged = |filter: &TagFilter| {
            let wanted = |value: &String| filter.value.as_ref().is_none_or(|wanted| wanted == value);
            instance
                .tags
                .iter()
                .any(|(key, value)| *key == filter.key && wanted(value))
        };
        self.projects
            .as_ref()
            .is_none_or(|projects| projects.contains(&instance.project))
            && any_or_unlimited(self.instance_names.as_deref(), &instance.name)
            && !self
                .exclude_instance_names
                .iter()
                .any(|pattern| pattern.matches(&instance.name))
            && self.tags.iter().all(tagged)
            && self.enterprise_projects.as_ref().is_none_or(|wanted| {
                instance
                    .enterprise_project
                    .as_ref()
                    .is_some_and(|project| wanted.contains(project))
            })
    }

    /// Whether the policy may delete a backup of this instance, as far as the engine goes: one that it selects, and the instance's own.
    pub fn takes_engine(&self, instance: &Instance, backup: &Backup) -> bool {
        backup.engine.is_known() && backup.engine == instance.engine && self.engines.contains(&backup.engine)
    }

    /// Whether a backup of a claimed instance is in the policy's scope by its name.
    pub fn takes_backup(&self, backup: &Backup) -> bool {
        self.takes_name(&backup.name)
    }

    /// The same, by the backup's name alone.
    pub fn takes_name(&self, name: &str) -> bool {
        any_or_unlimited(self.backup_names.as_deref(), name)
            && !self.exclude_backup_names.iter().any(|pattern| pattern.matches(name))
    }
}

/// The engines that any of these policies selects, each once and always in the same order.
pub fn selected_engines<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> Vec<Engine> {
    let policies: Vec<&Policy> = policies.into_iter().collect();
    let is_selected = |engine: &Engine| policies.iter().any(|policy| policy.select.engines.contains(engine));
    Engine::known().filter(is_selected).collect()
}

fn any_or_unlimited(patterns: Option<&[Pattern]>, name: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(name)))
}

/// What to do with a plan of more than `max_deletions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverLimit {
    /// The whole plan is refused until it is approved.
    Refuse,
    /// The oldest `max_deletions` are sent, the rest is left to later runs.
    OldestFirst,
}

/// How many different people something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum People {
    /// One is enough.
    #[default]
    One,
    /// It takes two.
    Two,
}

/// How much one run may delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deletions a run of the policy.
    pub max_deletions: NonZeroU32,
    /// Percent of one instance's in-scope COMPLETED and FAILED backups, 1 to 100.
    pub max_percent: u8,
    /// Over `max_deletions`.
    pub over_limit: OverLimit,
    /// How many people must approve a plan that is over them.
    pub approvals: People,
}

impl Limits {
    /// An instance may always lose this many, whatever `max_percent` says.
    pub const PERCENT_FREE: usize = 5;
}

impl Default for Limits {
    fn default() -> Self {
        const FIVE_HUNDRED: NonZeroU32 = NonZeroU32::new(500).expect("500 is not zero");
        Self {
            max_deletions: FIVE_HUNDRED,
            max_percent: 50,
            over_limit: OverLimit::Refuse,
            approvals: People::One,
        }
    }
}

/// A compiled policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name, unique in the configuration.
    pub name: PolicyName,
    /// Whether it acts.
    pub mode: Mode,
    /// The zone of its buckets and calendar spans.
    pub zone: Zone,
    /// Whom it selects.
    pub select: Selector,
    /// What it keeps.
    pub keep: KeepRules,
    /// Older ones expire although a rule keeps them.
    pub max_age: Option<Span>,
    /// When FAILED backups expire.
    pub failed_after: Span,
    /// The newest so many COMPLETED backups of every series stay.
    pub min_backups: NonZeroU32,
    /// How long an expired backup waits.
    pub grace: Span,
    /// Nothing is deleted on an instance without a COMPLETED backup this recent.
    pub require_backup_within: Option<Span>,
    /// How much one run may delete.
    pub limits: Limits,
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
