//! What the admin API says, as types: plugins, generations and builds, executions, the journal, log lines, servers, tokens, problems.
//!
//! The server fills these types and sends them; the command line and programs that embed Camlock read them. Each shape is
//! declared here, once. What must not live here: what a role may see, where a value comes from, how it is printed, and any other
//! crate of ours.

#![forbid(unsafe_code)]

mod analytics;
mod catalog;
mod configuration;
mod digest;
mod discovery;
mod entrance;
mod event;
mod execution;
mod extension;
mod finding;
mod generation;
mod grants;
mod health;
mod isolation;
mod journal;
mod log;
mod node;
mod page;
mod plugin;
mod problem;
mod table;
mod task;
mod time;
mod token;
mod value;

pub use crate::{
    analytics::{
        AnalyticsPoint, AnalyticsView, GenerationUse, PluginProblemView, ProblemRule, RecommendedAct, UsageView,
        UseCounts,
    },
    catalog::{
        AdvisoryView, CatalogCategoryView, CatalogInstallView, CatalogPackageView, CatalogPluginView,
        CatalogVersionView, CatalogView, InstallPlanView, InstallStepView, ListedPluginView, OutdatedView,
    },
    configuration::ConfigViolation,
    digest::{Digest, NoDigest},
    discovery::{
        DiscoveredAuthor, DiscoveredPlugin, DiscoveredPlugins, DiscoveredVersion, DiscoveryFailure, DiscoveryMeta,
        DiscoveryStatistics, DiscoveryTrouble, HintOutcome, HintedPlugin, ScanOutcome, TroubleWithPlugin,
    },
    entrance::{PageAddress, Whoami},
    event::{DeadEventView, EventView, SubscriptionState, SubscriptionView},
    execution::{ExecutionResultView, ExecutionStatus, ExecutionView},
    extension::{ExtensionPart, ExtensionTheme, ExtensionView},
    finding::{ExaminationView, Finding, FindingLevel},
    generation::{BuildView, GenerationPhase, GenerationView, StageTimes},
    grants::{CHECKED_BY_THE_HOST, GrantsView, PermissionView},
    health::{BlockedHandler, FailedUpgrades, ServerHealth},
    isolation::Isolation,
    journal::JournalEntry,
    log::{LogLevel, LogLine, PluginLogLevel},
    node::{NodePlugin, NodeStatus},
    page::{Page, PluginPage},
    plugin::{
        CandidateView, Diagnostic, DrainingView, Endpoint, FailureView, Headline, PinnedView, PluginKind, PluginView,
        ProcessView, ServingView, Stage,
    },
    problem::ProblemView,
    table::{PluginTableView, PluginTablesView, RanMigrationView},
    task::{ScheduleView, TaskView},
    time::UtcTime,
    token::{CreatedToken, Role, TokenStatus},
    value::{ValueChangeView, ValueView},
};
