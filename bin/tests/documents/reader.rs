//! Somebody who follows a document: one block after the other, in the folder where the one before ended.

use crate::{
    block::{Block, Known},
    place::{ADDRESS, Place},
};
use camlock_testing::request;
use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Plugins are built, among them those that are shipped, with all that they are made of.
const PATIENCE: Duration = Duration::from_secs(1800);

/// The line that runs everything, this test too.
pub(crate) fn is_what_runs_this(line: &str) -> bool {
    line.split('#').next().is_some_and(|command| command.trim() == "scripts/test")
}

pub(crate) struct Reader<'a> {
    place: &'a Place,
    folder: PathBuf,
    server: Option<Child>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(place: &'a Place) -> Self {
        Reader { place, folder: place.copy.clone(), server: None }
    }

    /// Does what a block says: whether it was run.
    pub(crate) fn does(&mut self, block: &Block) -> bool {
        match (&*block.language, &block.known) {
            ("sh", Known::Nothing) => drop(self.run(block, &block.text)),
            ("sh", Known::Server) => self.serve(block),
            ("sh", Known::Until(text)) => self.run_until(block, text),
            (_, Known::Save(path)) => {
                self.save(block, path);
                return false;
            }
            (_, Known::Nothing) => return false,
            other => panic!("line {}: {other:?} makes no sense", block.line),
        }
        true
    }

    /// The document is over, and so is its server.
    pub(crate) fn end(mut self) {
        if let Some(mut server) = self.server.take() {
            Command::new("kill").arg(server.id().to_string()).status().unwrap();
            let status = server.wait().unwrap();
            assert!(status.success(), "the server ended with {status}:\n{}", self.said());
        }
    }

    fn serve(&mut self, block: &Block) {
        let (first, rest) = block.text.split_once('\n').unwrap();
        for line in rest.lines() {
            assert!(is_what_runs_this(line), "line {}: after a server nothing can be run: {line}", block.line);
            assert!(self.folder.join("scripts/test").is_file());
        }
        let output = File::create(self.log()).unwrap();
        let mut shell = self.place.shell(&self.folder, &format!("exec {first}"));
        shell.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        self.server = Some(shell.spawn().unwrap());
        self.wait("the server is not ready", |reader| {
            let ended = reader.server.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the server ended:\n{}", reader.said());
            let address = ADDRESS.parse().unwrap();
            request(address, "GET", "/_/ready", &[]).is_ok_and(|answer| answer.status == 200)
        });
    }

    fn run_until(&mut self, block: &Block, text: &str) {
        let output = self.run(block, &block.text);
        let last = block.text.lines().last().unwrap().to_owned();
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        self.wait(&format!("`{last}` never said `{text}`"), |reader| {
            said.contains(text) || {
                said = String::from_utf8_lossy(&reader.run(block, &last).stdout).into_owned();
                false
            }
        });
    }

    fn run(&mut self, block: &Block, script: &str) -> Output {
        // The next block begins where this one ends.
        let place = self.place.copy.join("../folder");
        let script = format!("{script}\npwd > {place:?}\n");
        let output = self.place.shell(&self.folder, &script).stdin(Stdio::null()).output().unwrap();
        let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "line {}: {}\n{said}\n{wrong}\n{}", block.line, output.status, self.said());
        self.folder = fs::read_to_string(place).unwrap().trim().into();
        output
    }

    /// Lines that documentation hides are left out.
    fn save(&self, block: &Block, path: &str) {
        let shown = |line: &&str| block.language != "rust" || !(line.starts_with("# ") || *line == "#");
        let text: String = block.text.lines().filter(shown).map(|line| format!("{line}\n")).collect();
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn wait(&mut self, told: &str, mut enough: impl FnMut(&mut Self) -> bool) {
        let began = Instant::now();
        while !enough(self) {
            assert!(began.elapsed() < PATIENCE, "{told}:\n{}", self.said());
            sleep(Duration::from_millis(100));
        }
    }

    fn log(&self) -> PathBuf {
        self.place.copy.join("../server.log")
    }

    /// What the server said.
    fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = Command::new("kill").arg(server.id().to_string()).status();
            let _ = server.wait();
        }
    }
}
