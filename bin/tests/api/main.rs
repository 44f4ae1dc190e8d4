//! The API against its own description. schemathesis reads `/openapi.json` of a live server, the plugins' documents in it too, and
//! sends what it allows and what it forbids: nothing may be answered with a 5xx but the documented 503, and every answer is as
//! described. The seed is fixed, so that a failure comes again.
//!
//! Left out: streams, which do not end, and installing, which takes files of the server's machine. What the document allows may be
//! refused all the same, for a plugin that it names must be there.

use camlock_testing::{Site, files_of, repository};
use std::{
    fs,
    process::{Command, Output},
};

const SEED: &str = "7";

fn schemathesis() -> String {
    let script = repository().join("scripts/schemathesis");
    let Output { status, stdout, stderr } = Command::new(script).output().expect("the script starts");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("a path").trim().to_owned()
}

#[test]
fn every_answer_is_as_described() {
    let schemathesis = schemathesis();
    let site = Site::new(env!("CARGO_BIN_EXE_camlock"));
    let powertable = repository().join("plugins/powertable");
    for file in files_of(&powertable) {
        let text = fs::read_to_string(powertable.join(&file)).expect("it can be read");
        site.write(&format!("plugins/powertable/{}", file.display()), &text);
    }
    let server = site.start_with(|command| _ = command.env("CAMLOCK_LOG", "error"));
    server.until_serving("powertable");
    let token = fs::read_to_string(site.path(".camlock/admin-token")).expect("the token");
    let mut command = Command::new(schemathesis);
    command.current_dir(site.path("."));
    let config = repository().join("bin/tests/api/schemathesis.toml");
    command.arg("--config-file").arg(config).args([
        "run",
        &format!("http://{}/openapi.json", server.address),
        "--seed",
        SEED,
    ]);
    command.args(["--header", &format!("Authorization: Bearer {}", token.trim()), "--max-examples", "20"]);
    command.args(["--exclude-operation-id", "install", "--exclude-path", "/api/v1/events", "--exclude-path", "/docs"]);
    command.args(["--exclude-checks", "positive_data_acceptance", "--continue-on-failure", "--warnings", "off"]);
    let output = command.output().expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}\n{}", String::from_utf8_lossy(&output.stderr), server.printed());
    assert!(told.contains("No issues found"), "{told}");
    assert_eq!(server.get("/_/health").status, 200);
    let (ended, printed) = server.end();
    assert!(ended.success(), "{printed}");
}
