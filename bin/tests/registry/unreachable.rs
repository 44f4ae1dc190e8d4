//! What is and is not done while the database is away, and what becomes of it afterwards.

use crate::{cut::until_it_waits, world::*};
use camlock_testing::single;
use std::fs;

const HELLO: &str = "/api/v1/p/hello/";
const NEW: &str = "/api/v1/p/newcomer/";

#[test]
fn what_serves_goes_on_and_the_rest_waits() {
    let world = World::apart();
    for name in ["hello", "off", "leaves"] {
        world.site.write(&format!("plugins/{name}.rs"), &single("one"));
    }
    let server = world.serve();
    server.until_text(HELLO, "one");
    world.site.write("plugins/hello.rs", &single("two"));
    server.until_text(HELLO, "two");
    assert_eq!(server.act("POST", "/api/v1/plugins/off/disable").status, 200);
    under_load(&server, &[STEADY, HELLO], || {
        world.server().kill();
        until_not_ready(&server, "the PostgreSQL database `test_0` at 127.0.0.1:");
        assert_eq!(server.get("/_/live").status, 200);

        // What there is, and why it may be outdated, is told.
        let list = server.act("GET", "/api/v1/plugins?limit=100");
        assert_eq!((list.status, server.get("/plugins").status), (200, 200), "{list:?}");
        assert_eq!(server.plugin("hello")["state"], "serving");
        let why = server.get_as_admin("/plugins").json()["registry_trouble"].clone();
        assert!(why.as_str().is_some_and(|why| why.contains("127.0.0.1:")), "{why}");
        assert_eq!(server.get("/_/health").status, 200);

        // What would have to be put on record is refused.
        for (method, path) in [
            ("POST", "plugins/hello/disable"),
            ("POST", "plugins/off/enable"),
            ("POST", "plugins/hello/rollback"),
            ("DELETE", "plugins/hello"),
            ("GET", "journal"),
            ("GET", "nodes"),
        ] {
            let answer = server.act(method, &format!("/api/v1/{path}"));
            assert_eq!(answer.status, 503, "{method} {path}: {answer:?}");
            let told = detail(&answer);
            assert!(told.contains("the PostgreSQL database `test_0` at 127.0.0.1:"), "{method} {path}: {told}");
            assert!(!told.contains('\n'), "{told}");
        }
        let (code, said) = world.command(&server, &["disable", "hello"]);
        assert!(code == Some(1) && said.contains("127.0.0.1:"), "{code:?} {said}");
        assert_eq!(world.command(&server, &["list"]).0, Some(0));
        // A new generation of the same is nothing to be decided.
        let answer = server.act("POST", "/api/v1/plugins/hello/reload");
        assert_eq!(answer.status, 200, "{answer:?}");

        // Edits are built, and wait; newcomers wait; what breaks is told; what is put back is as it was.
        world.site.write("plugins/hello.rs", &single("three"));
        until_it_waits(&server, "hello");
        world.site.write("plugins/newcomer.rs", &single("new"));
        server.until_plugin("newcomer", |plugin| !plugin.is_null());
        let answer = server.act("POST", "/api/v1/plugins/newcomer/enable");
        assert_eq!(answer.status, 503, "{answer:?}");
        world.site.write("plugins/hello.rs", &single("four").replace("get(", "got("));
        server.until_failed("hello", "build");
        world.site.write("plugins/hello.rs", &single("five"));
        until_it_waits(&server, "hello");
        fs::remove_file(world.site.path("plugins/leaves.rs")).unwrap();
        server.until_plugin("leaves", |plugin| plugin["state"] == "missing" && at_rest(plugin));
        assert_eq!((server.get(HELLO).text.as_str(), server.get(NEW).status), ("two", 503));

        world.server().start_again();
        server.until_text(HELLO, "five");
        server.until_text(NEW, "new");
        server.until_status("/_/ready", 200);
        assert_eq!(server.act("POST", "/api/v1/plugins/off/enable").status, 200);
    });
    // It is all on record.
    let served = |name: &str| format!("SELECT state FROM node_plugins WHERE plugin = '{name}'");
    for (name, state) in [("hello", "serving"), ("newcomer", "serving"), ("leaves", "missing")] {
        world.until_sql(&served(name), state);
    }
    let failed = "SELECT count(*) FROM plugin_journal WHERE plugin = 'hello' AND what = 'failed' \
         AND detail->>'reason' LIKE 'it does not compile%'";
    world.until_sql(failed, "1");
}
