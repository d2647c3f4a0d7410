//! Commands of docker that are not here: what does their work.

/// What to do instead of docker's command, if there is one of that name.
pub fn instead_of(command: &str) -> Option<&'static str> {
    Some(match command {
        "ps" | "container" | "create" | "start" | "stop" | "restart" | "kill" | "rm" | "wait" | "logs"
        | "exec" | "attach" | "cp" | "rename" | "pause" | "unpause" | "top" | "stats" | "port" | "update"
        | "diff" | "commit" | "export" | "events" => {
            "there are no containers that stay yet: `lap run --rm` runs a command in the foreground, and `lap build -o DIR` gives the files of an image"
        }
        "volume" => "there are no named volumes yet: `lap run -v DIR:PATH` takes a directory",
        "network" => {
            "there are no networks to set up: commands have the machine's, or none (`--network none`)"
        }
        "compose" | "swarm" | "service" | "stack" | "node" | "secret" | "config" => {
            "lap works with single images and commands"
        }
        "manifest" => {
            "`lap registry manifest NAME` shows one, and `lap build --platform A,B` makes an index of several platforms"
        }
        "context" => "there is no daemon, and so there is none to choose: `--root` names the store",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    #[test]
    fn what_is_here_is_not_elsewhere() {
        for command in cli::command().get_subcommands() {
            assert_eq!(instead_of(command.get_name()), None, "{}", command.get_name());
        }
        assert!(instead_of("ps").is_some());
        assert_eq!(instead_of("biuld"), None);
    }
}
