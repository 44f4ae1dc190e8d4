//! What every command has: a page of help that teaches, and no colours where nobody sees them.

use crate::{camlock, end, site};

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
    let script = format!("set -o pipefail; {program} completions bash | head -n 1");
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
