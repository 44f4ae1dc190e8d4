//! Camlock's policy, free of I/O.
//!
//! Here live leases, the port through which plugins are called, and the reading of what plugins say of themselves. What must
//! not live here: the ABI, `libloading`, databases, axum, file watching, and `unsafe`. Whoever implements a port depends on
//! this crate, never the other way round.
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod analytics;
#[doc(hidden)]
pub mod assert;
mod body;
mod call;
mod catalogs;
mod configuration;
mod deliveries;
mod discovery;
mod document;
mod events;
mod examination;
mod executions;
mod failure;
pub mod generation;
mod grants;
mod hints;
mod install;
mod instance;
mod isolation;
mod kept_tables;
mod layouts;
pub mod lease;
mod limits;
mod manager;
pub mod manifest;
pub mod migrations;
mod names;
mod op_queue;
mod paths;
mod permissions;
mod ports;
mod queued;
pub mod registry;
pub mod routes;
mod schedules;
mod secrets;
mod services;
mod subscriptions;
mod supervisor;
mod tables;
mod task_types;
mod theme;
mod topics;
mod ui;
mod updates;
mod values;
mod view;

pub use crate::{
    analytics::{Analytics, AnalyticsQuery, LATENCY_BOUNDS, LATENCY_BUCKETS},
    body::{Body, BodyError},
    call::{Answer, Call, Connection, Fault, FaultKind, RequestId},
    catalogs::{
        CatalogAnswer, CatalogInstallOrder, CatalogOrder, CatalogQuery, CatalogRefusal, CatalogRefused, CatalogSort,
        Catalogs, InstallPreference,
    },
    configuration::{ConfigSchema, MASK},
    deliveries::{Deliver, Delivered, Delivery, ServedPlugins, Undelivered},
    discovery::{
        DiscoveredSources, Discovery, DiscoveryRecord, DiscoveryRecords, NotDiscovered, NotDiscoveredKind,
        RepositoryDocument, RepositoryHint, ScanOrder,
    },
    document::ReplacedDocument,
    events::{Emission, EventControl, EventCounts},
    examination::Doctor,
    executions::{
        ExecutionCounts, ExecutionEntry, ExecutionOrder, ExecutionOutcome, ExecutionQuery, ExecutionStatus,
        ExecutionTerms, Executions, NotExecuted,
    },
    failure::Failure,
    grants::{Granted, Grants, PluginSource},
    install::{Arriving, Install, Installation, Installed, NotInstalled, Placement, Source, Upload},
    instance::{BoxFuture, Description, Ending, Instance, Loaded, Saved},
    kept_tables::KeptTables,
    layouts::Layouts,
    lease::{GenerationKey, Lease, Use, Watch},
    limits::{CpuShare, Limits, ProcessLimits, RequestLimits},
    manager::{Act, Done, Inbox, Manager, Message, Order, Refused},
    manifest::Manifest,
    migrations::{MigrationFile, SqlDialect},
    op_queue::OpQueue,
    paths::without_paths,
    permissions::{NoPermission, check_permission, covers, meaning},
    ports::{
        BuildPriority, BuildProgress, Built, Candidate, Entry, Fingerprint, GenerationStart, Keepings, Kept, Kind,
        Loading, Progress, Publish, Scan, Shelf, Sources,
    },
    queued::{QueuedCounts, QueuedQuery, QueuedTasks, WantedTask},
    schedules::{MissedRuns, Schedule, ScheduleTimes, ScheduledRuns},
    secrets::{NotOpened, SealedSecret, SealedSecrets, Sealer},
    services::{AskCounts, AskError, AskErrorCode, Asker, ERROR_CODE, Services},
    subscriptions::{DeliverTo, EMIT, SUBSCRIBE, Subscription, may_subscribe, opens},
    supervisor::{Aside, IsolationSettings, PluginWork, Ports, Settings, supervise},
    tables::{SqlRights, TableTerms, TablesNotReady, TablesReady},
    task_types::{TaskRate, TaskType, check_task_type, duration},
    theme::UiTheme,
    topics::{HOST_TOPICS, MOST_TOPIC, NoTopic, TopicPattern, check_outside_topic, check_own_topic, check_topic},
    ui::{UiFile, UiPart, UiSection, UiTrust},
    updates::{AdvisoryPolicy, CatalogPolicy, UpdateChannel, UpdatePolicy, UpdateWindow},
    values::{KeptValues, ValueEntry, ValueQuery},
    view::{LivePlugin, Overview, PageOffer},
};
pub use camlock_api::{
    AnalyticsPoint, AnalyticsView, BuildView, CandidateView, ConfigViolation, DeadEventView, Diagnostic, Digest,
    DrainingView, Endpoint, EventView, FailureView, Finding, GenerationPhase, GenerationUse, GenerationView,
    GrantsView, Headline, Isolation, NoDigest, PermissionView, PinnedView, PluginKind, PluginProblemView,
    PluginTableView, PluginTablesView, PluginView, ProblemRule, ProcessView, RanMigrationView, RecommendedAct,
    ServingView, Stage, StageTimes, SubscriptionState, SubscriptionView, UsageView, UseCounts, UtcTime,
};
