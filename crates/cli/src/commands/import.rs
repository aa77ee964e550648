//! `import`: what other tools saw goes into the inventory.

use std::fs::File as SystemFile;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use engine::keep::{File, Inventory};
use inventory::Imported;
use report::{Style, TextOptions};

use crate::commands::job::fresh_run_id;
use crate::configuration::read_networks;
use crate::exit::{Exit, Failure};
use crate::flags::ImportFlags;
use crate::inventory::{failure, open_inventory};
use crate::outputs::Destination;
use crate::terminal;

/// `memsweep import`.
pub(crate) fn import(flags: &ImportFlags) -> Result<Exit, Failure> {
    let typed = &flags.output.output;
    let destination = Destination::only(typed, &["text", "json"])?;
    let networks = read_networks(&flags.enrich)?;
    let mut inventory = open_inventory(&flags.inventory)?;
    let mut files: Vec<(String, Imported)> = Vec::new();
    for path in &flags.files {
        let name = match path == Path::new("-") {
            true => "stdin".to_owned(),
            false => path.display().to_string(),
        };
        let imported = take_in(&mut inventory, path, &name, networks.as_ref())?;
        files.push((name, imported));
    }
    let options = TextOptions {
        width_columns: terminal::width_columns(),
        color: false,
        language: terminal::language(flags.output.lang),
        style: Style::Find,
        verbose: flags.output.verbose,
    };
    let is_torn = files.iter().any(|(_, file)| file.is_torn);
    let text = match destination.word() {
        "json" => report::imports_json(&files),
        _ => report::imports_text(&files, &options),
    };
    if !(flags.output.quiet && typed.is_empty()) {
        destination.write(&text)?;
    }
    Ok(match is_torn {
        true => Exit::Unfinished,
        false => Exit::Done,
    })
}

fn take_in(
    inventory: &mut Inventory,
    path: &Path,
    name: &str,
    networks: Option<&::import::Networks>,
) -> Result<Imported, Failure> {
    let now = SystemTime::now();
    let file = File {
        run: fresh_run_id(now),
        name: name.to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        now,
    };
    let imported = if path == Path::new("-") {
        let mut stdin = std::io::stdin().lock();
        inventory.import(&file, None, &mut stdin, networks)
    } else {
        let mut opened: Box<dyn Read> = Box::new(
            SystemFile::open(path).map_err(|error| Failure::usage(format!("{name}: {error}")))?,
        );
        inventory.import(&file, Some(path), &mut opened, networks)
    };
    imported.map_err(failure)
}
