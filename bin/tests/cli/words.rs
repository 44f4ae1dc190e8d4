//! What every command has: a page of help that teaches, and no colours where nobody sees them.

use crate::{camlock, end, site};
use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

/// All commands, with their subcommands.
const COMMANDS: &[&[&str]] = &[
    &["serve"],
    &["new"],
    &["check"],
    &["build"],
    &["inspect"],
    &["package"],
    &["catalog", "add"],
    &["catalog", "list"],
    &["catalog", "sync"],
    &["catalog", "search"],
    &["catalog", "show"],
    &["catalog", "remove"],
    &["catalog", "mirror"],
    &["catalog", "init"],
    &["catalog", "publish"],
    &["catalog", "rotate"],
    &["install"],
    &["update"],
    &["outdated"],
    &["discover"],
    &["upgrade"],
    &["dev"],
    &["list"],
    &["show"],
    &["enable"],
    &["disable"],
    &["reload"],
    &["rollback"],
    &["remove"],
    &["config"],
    &["events"],
    &["logs"],
    &["nodes"],
    &["token", "create"],
    &["token", "list"],
    &["token", "revoke"],
    &["isolate"],
    &["execute"],
    &["executions"],
    &["stats"],
    &["emit"],
    &["subscriptions"],
    &["page"],
    &["grants"],
    &["secrets"],
    &["secrets", "rotate"],
    &["storage"],
    &["tasks"],
    &["grant"],
    &["revoke"],
    &["migrate"],
    &["doctor"],
    &["completions"],
];

#[test]
fn every_command_has_a_page_with_examples() {
    let all = end(camlock(&["--help"])).done();
    for command in COMMANDS {
        let help = end(camlock(&[*command, &["--help"]].concat())).done();
        let example = format!("camlock {}", command.join(" "));
        assert!(help.contains("Example") && help.contains(&example), "{help}");
        assert!(all.contains(&format!("\n  {} ", command[0])), "{all}");
        assert!(!help.contains('\x1b'), "{help}");
    }
    // And no command is left out here.
    let listed = all.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for name in listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        assert!(COMMANDS.iter().any(|command| command[0] == name), "{name}");
    }
}

#[test]
fn wrong_usage_is_2() {
    for arguments in [
        &["lst"][..],
        &["list", "--status", "happy"],
        &["rollback"],
        &["token", "create", "x"],
        &["token", "create", "x", "--role", "king"],
        &["completions", "tcl"],
        &["new", "x", "--relink", "--template", "http"],
        &["events", "-n", "501"],
        &["reload", "--force"],
        &["migrate", "--from", "sqlite://x"],
        &["migrate", "--check", "--from", "sqlite://x", "--to", "sqlite://y"],
    ] {
        let ended = end(camlock(arguments));
        assert!(ended.code == 2 && ended.stdout.is_empty(), "{arguments:?} {}", ended.stderr);
    }
}

#[test]
fn bad_configuration_is_64() {
    let site = site();
    site.write("camlock.toml", "\nplugins.dri = \"x\"\n");
    site.write("x.rs", "");
    for arguments in
        [&["list"][..], &["check", "x.rs"], &["build", "x.rs"], &["dev", "x.rs"], &["doctor"], &["migrate"]]
    {
        let told = end(crate::command(&site, arguments)).refused(64);
        assert!(told.contains("camlock.toml, line 2: unknown field `dri`"), "{told}");
    }
}

#[test]
fn shells_complete_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = end(camlock(&["completions", shell])).done();
        assert!(script.contains("camlock") && script.contains("rollback"), "{shell}");
    }
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let program = env!("CARGO_BIN_EXE_camlock");
    let run = |script: &str| {
        let script = format!("set -o pipefail; {}", script.replace("camlock", program));
        std::process::Command::new("bash").args(["-c", &script]).output().unwrap()
    };
    for script in ["camlock completions bash | head -n 1", "camlock completions bash | true", "camlock --help | true"] {
        let output = run(script);
        assert!(output.status.success(), "{script}: {output:?}");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // A disk that is full is one.
    let full = run("camlock completions bash > /dev/full");
    assert_eq!(full.status.code(), Some(1));
    let told = String::from_utf8(full.stderr).unwrap();
    assert!(told.starts_with("camlock: what was asked for cannot be written: No space left"), "{told}");
    // Why something failed may be read by nobody either.
    for script in ["camlock inspect nothing 2> /dev/full", "camlock inspect nothing 2>&1 >/dev/null | true"] {
        assert_eq!(run(script).status.code(), Some(1), "{script}");
    }
}

/// A server whose lines nobody reads any more serves on.
#[test]
fn a_server_does_not_need_readers() {
    let site = site();
    let mut server = crate::command(&site, &["serve", "--no-parent", "--listen", "127.0.0.1:0", "--page", "off"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(server.stdout.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    let address = first.strip_prefix("listening on http://").unwrap().split(',').next().unwrap().parse().unwrap();
    drop(said);
    // What comes next would have been a line.
    site.write("plugins/broken.so", "no library");
    let failed = || {
        let listed = end(crate::command(&site, &["list"])).stdout;
        listed.contains("broken") && listed.contains("failed")
    };
    let until = Instant::now() + Duration::from_secs(300);
    while !failed() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(200));
    }
    let ready = camlock_testing::request(address, "GET", "/_/ready", &[]);
    let (seen, ended) = (failed(), server.try_wait().unwrap());
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(seen && ended.is_none(), "the server goes on: {ended:?}");
    assert!(ready.is_ok());
}
