//! Reading an artifact without running it: is it a plugin for this host, and what does it say of itself?
//!
//! Pure: bytes in, answer out. What must not live here: opening, copying, running.

use crate::sections::{BuildKind, Sections, Unfit};
use camlock_abi::section;
use object::{
    Endianness, Object, ObjectSection, ObjectSymbol,
    elf::{DF_1_NODELETE, DT_FLAGS_1, EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, PT_INTERP, PT_LOAD, STB_GNU_UNIQUE},
    read::elf::{ElfFile64, FileHeader, ProgramHeader},
};

const MOST_META: usize = 32 * 1024 * 1024;

/// Reads a file's sections and refuses what this host cannot run, in the order in which a person would ask.
pub fn read(file: &[u8]) -> Result<Sections, Unfit> {
    let elf = parse(file)?;
    let section = |name: &str| {
        let section = elf.section_by_name(name)?;
        section.data().ok().filter(|data| data.len() <= MOST_META)
    };
    let Some(meta) = section(section::META) else {
        return Err(Unfit(
            "it has no section `.camlock.meta`: it is a library, but not a Camlock plugin (is `export!` missing?)"
                .into(),
        ));
    };
    let Some(cargo_toml) = section(section::MANIFEST) else {
        return Err(Unfit("it has no section `.camlock.manifest`, which `export!` would have put there".into()));
    };
    let migrations = section(section::MIGRATIONS);
    if migrations.is_none() && elf.section_by_name(section::MIGRATIONS).is_some() {
        return Err(Unfit("its section `.camlock.migrations` is too large, or lies beyond its end".into()));
    }
    let sections = Sections::parse(meta, cargo_toml, BuildKind::AsLibrary)?;
    let sections = sections.with_config_schema(section(section::CONFIG).unwrap_or_default())?;
    let sections = sections.with_migrations(migrations.unwrap_or_default())?;
    let ui = section(section::UI);
    if ui.is_none() && elf.section_by_name(section::UI).is_some() {
        return Err(Unfit("its section `.camlock.ui` is too large, or lies beyond its end".into()));
    }
    let sections = sections.with_ui(ui.unwrap_or_default())?;
    let sections = Sections { stays: stays(&elf), ..sections };
    let entry = format!("{}{}", section::ENTRY_PREFIX, sections.crate_name);
    if !elf.dynamic_symbols().any(|symbol| symbol.is_definition() && symbol.name() == Ok(entry.as_str())) {
        return Err(Unfit(format!("it does not export the symbol `{entry}` (was it stripped too far?)")));
    }
    Ok(sections)
}

fn parse(file: &[u8]) -> Result<ElfFile64<'_>, Unfit> {
    if !file.starts_with(b"\x7fELF") {
        return Err(Unfit("it is not an ELF file".into()));
    }
    let truncated = |what: &str| Unfit(format!("it is truncated: {what} lies beyond its end"));
    if file.len() < 64 {
        return Err(truncated("its header"));
    }
    if file[4] != 2 {
        return Err(Unfit("it is a 32-bit library, this host needs 64 bits".into()));
    }
    if file[5] != 1 {
        return Err(Unfit("it is built for a big-endian machine, this host is little-endian".into()));
    }
    let header = object::elf::FileHeader64::<Endianness>::parse(file)
        .map_err(|error| Unfit(format!("its ELF header is broken: {error}")))?;
    let endian = Endianness::Little;
    let machine = header.e_machine(endian);
    let ours = if cfg!(target_arch = "x86_64") { EM_X86_64 } else { EM_AARCH64 };
    if machine != ours {
        return Err(Unfit(format!(
            "it is built for {}, this host is {}",
            machine_name(machine.0),
            machine_name(ours.0)
        )));
    }
    let programs = header.program_headers(endian, file).map_err(|_| truncated("its program header table"))?;
    let executable =
        header.e_type(endian) == ET_EXEC || programs.iter().any(|program| program.p_type(endian) == PT_INTERP);
    if executable {
        return Err(Unfit("it is an executable, not a library".into()));
    }
    if header.e_type(endian) != ET_DYN {
        return Err(Unfit("it is not a shared library (an object file, or a core dump?)".into()));
    }
    let len = file.len() as u64;
    let beyond = |program: &object::elf::ProgramHeader64<Endianness>| {
        program.p_offset(endian).checked_add(program.p_filesz(endian)).is_none_or(|end| end > len)
    };
    if programs.iter().any(|program| program.p_type(endian) == PT_LOAD && beyond(program)) {
        return Err(truncated("a segment"));
    }
    ElfFile64::parse(file).map_err(|_| truncated("its section table"))
}

fn machine_name(machine: u16) -> String {
    match machine {
        62 => "x86-64".to_owned(),
        183 => "aarch64".to_owned(),
        3 => "x86 (32 bits)".to_owned(),
        243 => "RISC-V".to_owned(),
        other => format!("machine {other}"),
    }
}

/// What in the file itself keeps a library mapped for good.
fn stays(elf: &ElfFile64<'_>) -> Option<String> {
    let nodelete = elf
        .elf_dynamic_table()
        .ok()
        .is_some_and(|table| table.iter().any(|entry| entry.tag == DT_FLAGS_1 && entry.val & DF_1_NODELETE.0 != 0));
    if nodelete {
        return Some("library is marked NODELETE".to_owned());
    }
    let symbols = elf.elf_dynamic_symbol_table();
    let unique = symbols.iter().find(|symbol| symbol.st_bind() == STB_GNU_UNIQUE)?;
    let name = symbols.symbol_name(Endianness::Little, unique).unwrap_or_default();
    Some(format!("library has the unique symbol `{}`, which keeps it for good", String::from_utf8_lossy(name)))
}
