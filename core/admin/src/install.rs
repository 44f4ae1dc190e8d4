//! Plugins that are sent, or that lie somewhere on this machine: taken in, and handed to the supervisor, which installs them.

use crate::{
    acts::{outcome_of, refused},
    admit::Visitor,
    ask::{ValidQuery, bad, read_some},
    catalogs::{PreferenceWord, catalogs, refused_by_catalog},
    list::tagged,
    multipart::{UploadForm, unwrapped},
    show,
    state::{Control, ControlState},
};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use camlock_api::InstallPlanView;
use camlock_http::{Problem, seconds};
use camlock_policy::{
    CatalogInstallOrder, Done, Grants, Install, InstallPreference, Installation, NotInstalled, Placement, PluginSource,
    Refused, Source, registry::Actor,
};
use http::{HeaderMap, StatusCode, header::LOCATION};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    any::Any,
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::NamedTempFile;
use tokio::{fs::File, io::AsyncWriteExt, time::timeout};
use utoipa::{IntoParams, ToSchema};

/// How long a client may pause while it sends.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an answer waits for the first build: longer than any build may take.
const OUTCOME: Duration = Duration::from_secs(20 * 60);

/// How to install.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InstallQuery {
    /// Whether the answer waits for the outcome. If not: 202.
    #[serde(default = "yes")]
    #[param(value_type = Option<bool>)]
    wait: bool,
    /// Also if there is a plugin of that name: this takes its place.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    replace: bool,
    /// What is granted to it: `asked`, for whatever it asks for, or permissions with commas between. Without: what was granted to
    /// the same before, when it came in this way too; or nothing.
    grant: Option<String>,
}

impl InstallQuery {
    fn grants(&self) -> Result<Option<Grants>, Problem> {
        let Some(grant) = &self.grant else { return Ok(None) };
        let grants = match grant.as_str() {
            "asked" => Grants::Asked,
            "none" => Grants::default(),
            list => Grants::these(list.split(',').filter(|permission| !permission.is_empty()))
                .map_err(|unknown| bad(format!("the query is not understood: `grant`: {unknown}")))?,
        };
        Ok(Some(grants))
    }
}

fn yes() -> bool {
    true
}

/// Something on the server's machine.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InstallRequest {
    /// A crate's directory, a single file, a library or an archive: absolute. It is copied.
    #[schema(value_type = String)]
    path: PathBuf,
}

/// A plugin by its name in a catalog.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogInstallRequest {
    /// Its name.
    plugin_id: String,
    /// A version, or a range as cargo writes them. Without: the newest that fits.
    #[serde(default)]
    version: Option<String>,
    /// Its configuration.
    #[serde(default)]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Value>>)]
    config: Option<Map<String, Value>>,
    /// Which of library and sources is taken. Without: the library, where one fits.
    #[serde(default)]
    #[schema(inline, value_type = Option<PreferenceWord>)]
    prefer: InstallPreference,
}

/// What a JSON body may be, for the document.
#[derive(ToSchema)]
#[schema(title = "InstallBody")]
#[serde(untagged)]
#[allow(dead_code, reason = "it is only described")]
pub(super) enum InstallBody {
    /// Something on the server's machine.
    OfPath(InstallRequest),
    /// By name, from a catalog.
    OfCatalog(CatalogInstallRequest),
}

/// Installs a plugin: by its name in a catalog, something on the server's machine, a library, or the sources of a crate. One from a
/// catalog comes with what it needs, all of it or nothing, and is always waited for.
#[utoipa::path(post, path = "/api/v1/plugins", tag = "acts", params(InstallQuery),
    request_body(content(
        (InstallBody = "application/json"), (Vec<u8> = "application/octet-stream"),
        (Vec<u8> = "application/gzip"), (Vec<u8> = "application/zip"), (UploadForm = "multipart/form-data"),
    )),
    responses(
    (status = 200, description = "It took the place of the one before, and serves", body = camlock_api::PluginView),
    (status = 201, description = "It is installed", body = camlock_api::PluginView),
    (status = 202, description = "With `wait=false`: it is in the directory, and will be looked at", body = Placed),
    (status = 400, description = "The configuration does not fit what would be installed: `violations` says where. Nothing was changed"),
    (status = 404, description = "No catalog lists it"),
    (status = 409, description = "There is a plugin of that name; or what is asked for does not fit together, or not here"),
    (status = 413, description = "It is too large"),
    (status = 415, description = "The content type says nothing that can be installed"),
    (status = 422, description = "It cannot be used; or it is installed, and did not come to serve"),
    (status = 503, description = "Too many others are being installed, or the server is ending"),
))]
pub(super) async fn install(
    State(control): ControlState,
    visitor: Visitor,
    ValidQuery(query): ValidQuery<InstallQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let grants = query.grants()?;
    let InstallQuery { wait, replace, .. } = query;
    let Some(install) = control.options.install.clone() else { return Err(problem(NotInstalled::Unsupported)) };
    let (source, file) = match taken_in(&control, &*install, &headers, body).await? {
        TakenIn::Source(source, file) => (source, file),
        TakenIn::Named(CatalogInstallRequest { plugin_id, version, config, prefer }) => {
            let config = config.map(Value::Object);
            let order = CatalogInstallOrder { plugin: plugin_id, version, config, grants, prefer };
            return named(&control, order, visitor).await;
        }
    };
    // From here on it goes on although the client may have gone.
    let held = file.map(|file| Box::new(file) as Box<dyn Any + Send>);
    let origin = PluginSource::Upload;
    let installation = Installation { source, name: None, replace, origin, grants, by: visitor.by, held };
    let Placement { plugin: name, path, replaced, outcome } =
        control.manager.install(installation).await.map_err(problem)?;
    if !wait {
        let placed = Placed { name, path: path.display().to_string() };
        return Ok((StatusCode::ACCEPTED, axum::Json(placed)).into_response());
    }
    let Ok(outcome) = timeout(OUTCOME, outcome).await else {
        let detail = "it is in the plugins directory, and it is not known yet what comes of it: see GET /_/ready";
        return Err(Problem::of(&name, StatusCode::SERVICE_UNAVAILABLE, detail).passing());
    };
    let outcome = outcome.unwrap_or(Err(Refused::Ending));
    if replaced {
        return outcome_of(&name, outcome, visitor.role);
    }
    let Done { plugin, .. } = outcome.map_err(|why| refused(&name, &why))?;
    let location = [(LOCATION, format!("/api/v1/plugins/{name}"))];
    let shown = tagged(plugin.revision, show::plugin(&plugin, visitor.role));
    Ok((StatusCode::CREATED, location, shown).into_response())
}

/// Installs one by name. A configuration that does not fit is told before anything is done.
pub(super) async fn install_by_name(
    control: &Control,
    order: CatalogInstallOrder,
    by: Actor,
) -> Result<InstallPlanView, Problem> {
    let catalogs = catalogs(control)?;
    let misfits = catalogs.misfits(order.clone()).await.map_err(refused_by_catalog)?;
    if !misfits.is_empty() {
        return Err(refused(&order.plugin, &Refused::Misfit(misfits)));
    }
    catalogs.install(order, by).await.map_err(refused_by_catalog)
}

/// Installs one by name, and shows it.
async fn named(control: &Control, order: CatalogInstallOrder, visitor: Visitor) -> Result<Response, Problem> {
    let name = order.plugin.clone();
    let plan = install_by_name(control, order, visitor.by).await?;
    let Some(plugin) = control.manager.plugin(&name) else {
        return Err(Problem::of(&name, StatusCode::CONFLICT, format!("`{name}` was installed, and is gone again")));
    };
    let shown = tagged(plugin.revision, show::plugin(&plugin, visitor.role));
    if plan.steps.iter().any(|step| step.plugin == name && step.from.is_none()) {
        let location = [(LOCATION, format!("/api/v1/plugins/{name}"))];
        return Ok((StatusCode::CREATED, location, shown).into_response());
    }
    Ok(shown)
}

/// Where a plugin was put.
#[derive(serde::Serialize, ToSchema)]
pub(super) struct Placed {
    name: String,
    /// Below the plugins directory.
    path: String,
}

fn problem(not_installed: NotInstalled) -> Problem {
    let status = match not_installed {
        NotInstalled::Unfit(_) => StatusCode::UNPROCESSABLE_ENTITY,
        NotInstalled::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        NotInstalled::Taken(_) => StatusCode::CONFLICT,
        NotInstalled::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        NotInstalled::Unsupported => StatusCode::NOT_IMPLEMENTED,
        NotInstalled::Busy(_) | NotInstalled::Ending => StatusCode::SERVICE_UNAVAILABLE,
    };
    let problem = Problem::new(status, not_installed.to_string());
    if status == StatusCode::SERVICE_UNAVAILABLE { problem.passing() } else { problem }
}

/// What is to be installed.
enum TakenIn {
    /// This, and the file that it was sent into.
    Source(Source, Option<Received>),
    /// What has this name in a catalog.
    Named(CatalogInstallRequest),
}

async fn taken_in(
    control: &Control,
    install: &dyn Install,
    headers: &HeaderMap,
    body: Body,
) -> Result<TakenIn, Problem> {
    let (sent, body) = unwrapped(headers, body).await?;
    let source: fn(PathBuf) -> Source = match &*sent {
        "application/json" => {
            let asked: Map<String, Value> = read_some(body).await?;
            let unfit = |error| bad(format!("the body is not understood: {error}"));
            if asked.contains_key("plugin_id") {
                let named = serde_json::from_value(Value::Object(asked)).map_err(unfit)?;
                return Ok(TakenIn::Named(named));
            }
            let InstallRequest { path } = serde_json::from_value(Value::Object(asked)).map_err(unfit)?;
            if !path.is_absolute() {
                return Err(bad(format!("`path` is absolute, and not `{}`", path.display())));
            }
            return Ok(TakenIn::Source(Source::Path(path), None));
        }
        "application/octet-stream" => Source::Artifact,
        "application/gzip" | "application/x-gzip" => Source::TarGz,
        "application/zip" | "application/x-zip-compressed" => Source::Zip,
        other => {
            let detail = format!(
                "`content-type: {other}` cannot be installed: application/octet-stream is a library, application/gzip \
                 and application/zip are archives of sources, multipart/form-data has one of these as a file, application/json \
                 names a path"
            );
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
    };
    let received = receive(&install.uploads(), body, control.options.settings.largest_upload).await?;
    Ok(TakenIn::Source(source(received.0.path().to_owned()), Some(received)))
}

/// A file that something was sent into. It goes when this does; until then it is locked, so that another server that starts does
/// not take it for one that was left behind.
struct Received(NamedTempFile);

async fn receive(directory: &Path, mut body: Body, largest: u64) -> Result<Received, Problem> {
    let too_large = || {
        let detail = format!("what is sent is larger than the {largest} bytes that are taken");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    };
    let unwritten = |error: io::Error| {
        let detail = format!("what was sent cannot be kept in {}: {error}", directory.display());
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    };
    if body.size_hint().lower() > largest {
        return Err(too_large());
    }
    let (received, mut file) = create(directory).await.map_err(unwritten)?;
    let mut left = largest;
    loop {
        let frame = timeout(PATIENCE, body.frame()).await.map_err(|_| {
            let detail = format!("nothing was sent for {}", seconds(PATIENCE));
            Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
        })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| bad(format!("the body broke off: {error}")))?;
        let Some(data) = frame.data_ref() else { continue };
        left = left.checked_sub(data.len() as u64).ok_or_else(too_large)?;
        file.write_all(data).await.map_err(unwritten)?;
    }
    file.flush().await.map_err(unwritten)?;
    if left == largest {
        return Err(bad("the body is empty, and a library or an archive is asked for"));
    }
    Ok(received)
}

/// A new file under a random name, for this server's user alone.
async fn create(directory: &Path) -> io::Result<(Received, File)> {
    let directory = directory.to_owned();
    let made = tokio::task::spawn_blocking(move || {
        let file = tempfile::Builder::new().prefix("upload-").tempfile_in(directory)?;
        file.as_file().lock()?;
        let writer = file.as_file().try_clone()?;
        Ok((Received(file), File::from_std(writer)))
    });
    made.await.map_err(io::Error::other)?
}
