//! The address, and the server that runs here, if one does: which plugins pin, which have failed.

use crate::{
    Failed,
    client::{Client, is_socket, read, read_all},
    config::Config,
    print::{self, advice},
};
use camlock_api::{BlockedHandler, Finding, Headline, PluginProblemView, PluginView, ProblemRule, ServerHealth};
use camlock_loader::abi_version;
use std::{io, net::TcpListener};

const OTHER_VERSION: &str = "`camlock upgrade` puts what is installed in its place; so does a restart";

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let (mut findings, runs) = ask(config).await;
    findings.push(address(config, runs));
    findings
}

/// What a server on this data directory says of itself and of its plugins, and whether there is one.
pub(super) async fn ask(config: &Config) -> (Vec<Finding>, bool) {
    let socket = config.data.join("control.sock");
    if !is_socket(&socket) {
        return (vec![Finding::good("server", format!("none runs on {}", config.data.display()))], false);
    }
    let client = Client::on_socket(socket);
    let plugins = match client.list("/api/v1/plugins?limit=500").await {
        Ok(plugins) => plugins,
        Err(problem) if problem.failed.is_no_server() => {
            return (vec![Finding::good("server", "none runs; its socket is of an earlier one")], false);
        }
        Err(problem) => {
            let found = format!("one runs, and cannot be asked: {}", problem.failed.reason);
            let remedy = "name a token with CAMLOCK_TOKEN, or run this as the server's user";
            return (vec![Finding::warning("server", found, remedy)], true);
        }
    };
    let mut findings =
        vec![Finding::good("server", format!("one runs, with {}", print::counted(plugins.len(), "plugin")))];
    findings.extend(health(&client).await);
    findings.extend(readiness(&client).await);
    findings.extend(advised(&client).await);
    match read_all::<PluginView>(&plugins) {
        Ok(plugins) => findings.extend(plugins.iter().flat_map(of_plugin)),
        Err(unfit) => findings.push(Finding::wrong("server", unfit.reason, OTHER_VERSION)),
    }
    (findings, true)
}

/// Whether the server is of this program's version, which one that was replaced while it runs is not; and which plugins block
/// its threads.
async fn health(client: &Client) -> Vec<Finding> {
    let health = match client.get("/_/health").await.map_err(Failed::from).and_then(|health| read(&health)) {
        Ok(health) => health,
        Err(failed) => return vec![Finding::warning("server", failed.reason, "see what its log says")],
    };
    let ServerHealth { version: theirs, abi, blocked, died_before, .. } = health;
    let ours = env!("CARGO_PKG_VERSION");
    let other = (theirs != ours || abi != abi_version()).then(|| {
        let found = format!(
            "the server is camlock {theirs} (contract {abi}), and this program is camlock {ours} (contract {})",
            abi_version()
        );
        Finding::warning("server", found, OTHER_VERSION)
    });
    let died = died_before.map(|how| {
        let remedy = "if a plugin is to blame and known, it is under quarantine, and told below; `camlock events` says what was lost";
        Finding::warning("server", format!("the process before this one {how}, and was replaced"), remedy)
    });
    other.into_iter().chain(died).chain(blocked.into_iter().flatten().map(|blocked| blocks(&blocked))).collect()
}

fn blocks(blocked: &BlockedHandler) -> Finding {
    let BlockedHandler { plugin, generation, method, route, seconds } = blocked;
    let found =
        format!("{plugin}: {method} {route} has blocked its thread for {seconds:.0} s (generation {generation})");
    let remedy = format!(
        "mend the handler (what blocks belongs into `tokio::task::spawn_blocking`); `camlock disable {plugin}` ends it, as far \
         as that can be, and a restart of the server does"
    );
    Finding::warning("blocked", found, remedy)
}

/// Why the server says that it is not ready.
async fn readiness(client: &Client) -> Option<Finding> {
    let problem = client.get("/_/ready").await.err()?;
    let remedy = "see what it waits for; `camlock list` says why, and what to do";
    Some(Finding::warning("server", problem.failed.reason, remedy))
}

/// What advisories of catalogs say of what is installed.
async fn advised(client: &Client) -> Vec<Finding> {
    // Servers of embedders may follow no catalogs, and catalogs that are away are told elsewhere.
    let Ok(items) = client.list("/api/v1/problems").await else { return Vec::new() };
    let problems: Vec<PluginProblemView> = read_all(&items).unwrap_or_default();
    let advised = problems.into_iter().filter(|problem| problem.rule == ProblemRule::Advisory);
    let finding = |PluginProblemView { plugin, what, recommendation, .. }| {
        Finding::warning("advisory", print::plain(&format!("{plugin}: {what}")), print::plain(&recommendation))
    };
    advised.map(finding).collect()
}

fn address(config: &Config, runs: bool) -> Finding {
    let address = config.listen;
    match TcpListener::bind(address) {
        Ok(_) => Finding::good("address", format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && runs => {
            Finding::good("address", format!("{address} is taken; a server runs"))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::wrong(
            "address",
            format!("{address} is taken by another program"),
            format!(
                "end it (`ss -ltnp 'sport = :{}'` shows which), or name another address with --listen",
                address.port()
            ),
        ),
        Err(error) => Finding::wrong(
            "address",
            format!("{address} cannot be listened on: {error}"),
            "name an address of this machine with --listen; ports below 1024 ask for privileges",
        ),
    }
}

/// What is wrong with a plugin.
fn of_plugin(plugin: &PluginView) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = &plugin.name;
    for pinned in &plugin.pinned {
        findings.push(Finding::warning(
            "pins",
            format!("{name}: generation {} cannot leave: {}", pinned.generation, pinned.reason),
            "end what it says holds it; if it stays, mend the plugin (its `shutdown` ends what `start` began), and restart the \
             server when that suits",
        ));
    }
    if plugin.state == Headline::Quarantined {
        let reason = plugin.reason.as_deref().unwrap_or("its last artifact is not to be loaded again");
        let remedy = advice(plugin).unwrap_or_default();
        findings.push(Finding::warning("quarantine", format!("{name} is under quarantine: {reason}"), remedy));
    } else if let Some(failed) = &plugin.failed {
        let found = format!("{name}: generation {} failed ({}): {}", failed.generation, failed.stage, failed.reason);
        findings.push(Finding::warning("plugins", found, advice(plugin).unwrap_or_default()));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::plugin;
    use serde_json::json;

    #[test]
    fn pins_and_failures_are_warnings() {
        let plugin = plugin(json!({
            "pinned": [{ "generation": 1, "reason": "a thread of it still runs" }],
            "failed": {
                "generation": 3, "stage": "build", "reason": "it does not compile", "at": "2026-01-02T03:04:05Z",
                "diagnostics": [],
            },
        }));
        let found: Vec<_> = of_plugin(&plugin).into_iter().map(|finding| finding.found).collect();
        let expected = [
            "hello: generation 1 cannot leave: a thread of it still runs",
            "hello: generation 3 failed (build): it does not compile",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_under_quarantine_is_a_warning() {
        let plugin = plugin(json!({ "state": "quarantined", "reason": "it crashed the server" }));
        let found: Vec<_> = of_plugin(&plugin).into_iter().map(|finding| (finding.about, finding.found)).collect();
        assert_eq!(found, [("quarantine".to_owned(), "hello is under quarantine: it crashed the server".to_owned())]);
    }
}
