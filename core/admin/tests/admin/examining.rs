//! What is found when a server and its machine are examined, by role.

use crate::admin::{ADMIN, Admin};
use camlock_admin::AdminOptions;
use camlock_policy::{BoxFuture, Doctor, Finding, registry::Role};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts how often it looks at a machine.
#[derive(Default)]
struct Counting(Arc<AtomicUsize>);

impl Doctor for Counting {
    fn server(&self) -> BoxFuture<Vec<Finding>> {
        Box::pin(async { vec![Finding::warning("plugins", "hello: it does not compile", "mend it")] })
    }

    fn machine(&self) -> BoxFuture<Vec<Finding>> {
        let looks = self.0.clone();
        Box::pin(async move {
            looks.fetch_add(1, Ordering::SeqCst);
            vec![Finding::wrong("compiler", "rustc is not in the PATH", "install Rust"), Finding::good("disk", "/data")]
        })
    }
}

#[tokio::test]
async fn viewers_see_the_server_and_operators_its_machine_too() {
    let looks = Arc::<AtomicUsize>::default();
    let doctor = Arc::new(Counting(looks.clone()));
    let admin = Admin::with(|options| AdminOptions { doctor: Some(doctor), ..options }).await;
    for (name, role) in [("viewer", Role::Viewer), ("operator", Role::Operator)] {
        admin.token(name, role, None).await;
    }
    let seen = async |token: &str| -> Value {
        let answer = admin.ask("GET", "/api/v1/doctor", token, "").await;
        assert_eq!(answer.status(), 200, "{token}");
        serde_json::from_slice(answer.body()).unwrap()
    };
    let viewer = seen("viewer").await;
    assert_eq!((&viewer["good"], &viewer["machine"]), (&json!(true), &json!(false)));
    let warning =
        json!({ "about": "plugins", "level": "warning", "found": "hello: it does not compile", "remedy": "mend it" });
    assert_eq!(viewer["findings"], json!([warning]));
    assert_eq!(looks.load(Ordering::SeqCst), 0, "nothing is tried for a viewer");
    for token in ["operator", ADMIN] {
        let all = seen(token).await;
        assert_eq!((&all["good"], &all["machine"]), (&json!(false), &json!(true)));
        let about: Vec<_> = all["findings"].as_array().unwrap().iter().map(|finding| &finding["about"]).collect();
        assert_eq!(json!(about), json!(["compiler", "disk", "plugins"]));
    }
    assert_eq!(looks.load(Ordering::SeqCst), 2);
}
