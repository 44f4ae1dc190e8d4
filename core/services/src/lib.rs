//! What plugins ask of their host: the one place in which asks are led to services, counted and limited.
//!
//! A service is a path that begins with its name and version (`/sessions/1/current`), and a feature by that name. Its errors are
//! a code and a sentence ([`AskError`]). Adding one changes nothing in the contract. What must not live here: how asks cross
//! (the loader's `asks`), and the functions that authors call (the SDK's).

pub mod analytics;
mod data;
pub mod database;
mod directory;
pub mod events;
mod executions;
mod meters;
mod openapi;
mod rate;
pub mod secrets;
mod storage;
mod tasks;

pub use data::{
    Login, OthersServed, PluginData, PostgresConnections, PostgresLink, PostgresMessages, PostgresServer,
    ServiceShares, SlowedAsks, SqliteFile,
};
pub use directory::{HostServices, NotAService, Service, ServiceSet};
pub use executions::{ExecutionSettings, Executor, SchemaReader};
pub use openapi::{MOST_DOCUMENT, OpenApiService};
pub use rate::AskLimits;
pub use storage::{
    KeptKey, KeptValue, MOST_BATCH, MOST_KEY, MOST_PAGE, MOST_VALUE, PluginStorage, StorageAct, StorageChange,
    StorageClock, StorageCondition, StorageLimits, StorageOperation, StoragePage, StorageQuery, StorageService,
    StorageUse, StorageWatch, carry as carry_values,
};
pub use tasks::{
    Enqueued, KnownTasks, MOST_INPUT, OfferedTask, RunnerSettings, ScheduleRecord, TakenTask, TaskClock, TaskCounts,
    TaskDesk, TaskPage, TaskQuery, TaskQueue, TaskRecord, TaskRunner, TaskState, TaskTerms, TaskWishes, TasksService,
    carry as carry_tasks, empty as take_back_tasks,
};
