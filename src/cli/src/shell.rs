//! `completions` and `man`: what an installation puts beside the program.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::args::Cli;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client completions SHELL",
    after_help = "\
Examples:
  client completions bash > ~/.local/share/bash-completion/completions/client
  client completions fish > ~/.config/fish/completions/client.fish"
)]
pub(crate) struct Completions {
    /// For which shell
    shell: clap_complete::Shell,
}

/// Print the manual page
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "client man",
    after_help = "\
Examples:
  client man | man -l -"
)]
pub(crate) struct ManPage {}

/// The completion script.
pub(crate) fn completions(wanted: &Completions) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(wanted.shell, &mut Cli::command(), "client", &mut script);
    script
}

/// The manual page: the program, and a section for each of its commands.
///
/// # Errors
/// None but those of a buffer in memory.
pub(crate) fn man_page() -> io::Result<Vec<u8>> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).section("1").manual("tnv");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.extend(synopsis(&command));
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    page.extend(notes(&command));
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        page.extend(section(subcommand)?);
    }
    Ok(page)
}

/// One command as a section whose own sections are one level down.
fn section(command: &Command) -> io::Result<Vec<u8>> {
    // The options of every command stand in the program's own section.
    let own = command.clone().mut_args(|arg| {
        let common = arg.is_global_set() || arg.get_id() == "help" || arg.get_id() == "version";
        arg.hide(common)
    });
    let man = Man::new(own);
    let mut text = synopsis(command);
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    text.extend(notes(command));
    let body = String::from_utf8_lossy(&text).replace("\n.SH ", "\n.SS ");
    let body = body.strip_prefix(".SH ").map_or(body.clone(), |rest| format!(".SS {rest}"));
    Ok(format!(".SH \"CLIENT {}\"\n{body}", command.get_name().to_uppercase()).into_bytes())
}

/// The usage as people write it, with the trackers in front, which clap does not know of.
fn synopsis(command: &Command) -> Vec<u8> {
    let usage = command.clone().render_usage().to_string();
    let mut text = ".SH SYNOPSIS\n.nf\n".to_owned();
    for line in usage.trim_start_matches("Usage:").lines().map(str::trim) {
        text.push_str(&verbatim(line));
    }
    text.push_str(".fi\n");
    text.into_bytes()
}

/// What stands below the options in the help: running text, and indented lines that are kept as they are.
fn notes(command: &Command) -> Vec<u8> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut text = ".SH NOTES\n".to_owned();
    let mut is_kept = false;
    for line in help.lines() {
        let keep = line.starts_with("  ");
        if keep != is_kept {
            text.push_str(if keep { ".RS 2\n.nf\n" } else { ".fi\n.RE\n" });
            is_kept = keep;
        }
        match line.trim_end() {
            "" => text.push_str(".PP\n"),
            line => text.push_str(&verbatim(if keep { &line[2..] } else { line })),
        }
    }
    if is_kept {
        text.push_str(".fi\n.RE\n");
    }
    text.into_bytes()
}

/// A line that means nothing to roff.
fn verbatim(line: &str) -> String {
    let line = line
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
        .replace('~', "\\(ti")
        .replace('`', "\\(ga");
    format!("{}{line}\n", if line.starts_with('.') { "\\&" } else { "" })
}

#[cfg(test)]
mod tests {
    use clap_complete::Shell;

    use super::*;

    #[test]
    fn every_shell_gets_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completions(&Completions { shell })).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
            assert!(script.contains("recursive"), "{shell}");
        }
    }

    #[test]
    fn the_manual_page_has_a_section_for_every_command() {
        let page = String::from_utf8(man_page().unwrap()).unwrap();
        for command in Cli::command().get_subcommands() {
            let title = format!("\n.SH \"CLIENT {}\"\n", command.get_name().to_uppercase());
            assert_eq!(page.matches(&title).count(), 1, "{title}");
        }
        assert!(page.contains("client TRACKERS upload [OPTIONS] APP USER PATH"));
        assert!(page.contains("Exit codes"));
        let sections: Vec<_> = page.lines().filter(|line| line.starts_with(".SH ")).collect();
        assert_eq!(sections.len(), 6 + Cli::command().get_subcommands().count(), "{sections:?}");
    }
}
