//! SQL from another program, as operators use it: a shell that stays open, so that its start is not measured.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// An open shell.
pub struct Shell {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

/// What is selected after each statement. Both shells write out what they hold back when a SELECT ends.
const DONE: &str = "-- done --";

impl Shell {
    /// psql.
    pub fn postgres(url: &str) -> Self {
        Shell::start(Command::new("psql").args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-d", url]))
    }

    /// The `sqlite3` shell. It waits for whoever else writes.
    pub fn sqlite(file: &Path) -> Self {
        Shell::start(Command::new("sqlite3").args(["-batch", "-bail", "-cmd", ".timeout 5000"]).arg(file))
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the shell starts");
        let from = BufReader::new(child.stdout.take().expect("its output"));
        Shell { to: child.stdin.take(), from, child }
    }

    /// Runs statements, each of which is committed when this returns; what they print.
    pub fn run(&mut self, sql: &str) -> String {
        let to = self.to.as_mut().expect("it is open");
        let sent = to.write_all(format!("{sql};\nSELECT '{DONE}';\n").as_bytes()).and_then(|()| to.flush());
        sent.expect("the shell takes it");
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            let read = self.from.read_line(&mut line).expect("the shell answers");
            assert!(read > 0, "the shell ended at `{sql}`, see above");
            if line.trim_end() == DONE {
                return printed.trim_end().to_owned();
            }
            printed.push_str(&line);
        }
    }

    /// Plugins of which nothing is known but that they are registered, and of which nothing lies on disk.
    pub fn register(&mut self, count: usize) {
        self.run(&format!(
            "INSERT INTO plugins (name, enabled, source_path) WITH RECURSIVE numbers (n) AS \
             (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) \
             SELECT 'registered-' || n, true, 'registered-' || n FROM numbers"
        ));
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.child.wait();
    }
}
