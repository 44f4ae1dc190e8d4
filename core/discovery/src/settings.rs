//! What discovery is told. What must not live here: where it is read from.

use std::{collections::BTreeSet, fmt, path::PathBuf, time::Duration};

/// How plugins are discovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoverySettings {
    /// Whose repositories are looked at.
    pub organization: String,
    /// Where the forge's REST API is: `https://api.github.com`, `https://HOST/api/v3`, `https://HOST/api/v1`.
    pub api: String,
    /// Files that may be the manifest; the first one that is there is.
    pub manifests: Vec<String>,
    /// What lets this server ask. Without one there are few questions, and GraphQL is not spoken.
    pub token: Option<HiddenText>,
    /// What was found is looked at again when it is older.
    pub ttl: Duration,
    /// Where it is kept.
    pub cache: CacheSetting,
    /// What webhooks show, or sign with. Without, none is let in.
    pub webhook_secret: Option<HiddenText>,
    /// The first scan is made when somebody asks, not at the start.
    pub lazy: bool,
    /// Which discovered plugins may stand in the place of others with their name.
    pub overrides: Overrides,
    /// Names that plugins may depend on although no repository here has them.
    pub official: BTreeSet<String>,
    /// So long the forge may take to answer.
    pub timeout: Duration,
    /// So often a question is asked that failed for something that passes.
    pub attempts: usize,
    /// So many questions are kept back for others who use the token.
    pub kept_back: u64,
    /// The first pause between attempts; each is twice as long as the one before.
    pub pause: Duration,
    /// A pause that the forge asks for is made if it is no longer than this.
    pub longest_wait: Duration,
    /// A repository is looked at for webhooks once in this time.
    pub hint_every: Duration,
}

impl DiscoverySettings {
    /// The usual ones.
    pub fn new(organization: impl Into<String>) -> Self {
        DiscoverySettings {
            organization: organization.into(),
            api: "https://api.github.com".to_owned(),
            manifests: vec![".camlock.yaml".to_owned()],
            token: None,
            ttl: Duration::from_secs(3600),
            cache: CacheSetting::Registry,
            webhook_secret: None,
            lazy: true,
            overrides: Overrides::default(),
            official: BTreeSet::new(),
            timeout: Duration::from_secs(30),
            attempts: 3,
            kept_back: 1_000,
            pause: Duration::from_millis(500),
            longest_wait: Duration::from_secs(10),
            hint_every: Duration::from_secs(5),
        }
    }
}

/// Where what was found is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheSetting {
    /// In the registry's tables: all servers of a fleet know it, and it is there after a restart.
    #[default]
    Registry,
    /// Nowhere but in memory.
    Memory,
    /// In files of this directory, or of one in the data directory.
    Files(Option<PathBuf>),
}

/// Which discovered plugins may stand in the place of others with their name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Overrides {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those of these names.
    These(BTreeSet<String>),
}

impl Overrides {
    /// Whether one of this name may.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Overrides::None => false,
            Overrides::All => true,
            Overrides::These(names) => names.contains(name),
        }
    }
}

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct HiddenText(String);

impl HiddenText {
    /// An empty one is none.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        Some(text.into()).filter(|text: &String| !text.is_empty()).map(HiddenText)
    }

    /// What it is: not to be told.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for HiddenText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HiddenText(…)")
    }
}
