/** The completion script of fish: a list of completions, each with the command to which it belongs. */
import { firstSentence } from "./command.ts";
import { allCommands, type Completable, type CommandNode, type CommandOption } from "./command-tree.ts";

export function fishCompletion(program: CommandNode): string {
  const commands = allCommands(program);
  const paths = commands.slice(1).map(({ path }) => quote(path.join(" ")));
  return `# fish completion of ostiary
function __ostiary_at --description 'Whether the command line is at this command'
    set -l command
    for word in (commandline -opc)[2..]
        if contains -- (string join -- ' ' $command $word) ${paths.join(" ")}
            set -a command $word
        end
    end
    test "$command" = "$argv"
end
complete -c ostiary -f
${commands.flatMap(completionsOf).join("\n")}
`;
}

function completionsOf({ path, options, args, subcommands }: CommandNode): string[] {
  const start = `complete -c ostiary -n ${quote(["__ostiary_at", ...path].join(" "))}`;
  const words = subcommands.map(
    ({ path: own, description }) => `${start} -a ${own.at(-1)} -d ${quote(firstSentence(description))}`,
  );
  const values = args.flatMap((argument) => (argument.kind === "none" ? [] : [`${start}${valueOf(argument)}`]));
  return [...words, ...values, ...options.map((option) => start + optionText(option))];
}

function optionText(option: CommandOption): string {
  const names = option.names.map((name) => (name.startsWith("--") ? ` -l ${name.slice(2)}` : ` -s ${name.slice(1)}`));
  // `-x` means a value that is no file name.
  const value = option.takesValue ? ` ${option.kind === "file" ? "-r" : "-x"}${valueOf(option)}` : "";
  return `${names.join("")}${value} -d ${quote(firstSentence(option.description))}`;
}

function valueOf({ kind, choices }: Completable): string {
  switch (kind) {
    case "choice":
      return ` -a ${quote(choices.join(" "))}`;
    case "policy":
      return " -a '(__fish_complete_suffix .polar)'";
    case "file":
      return " -F";
    case "directory":
      return " -a '(__fish_complete_directories)'";
    case "none":
      return "";
  }
}

function quote(text: string): string {
  return `'${text.replaceAll(/['\\]/g, String.raw`\$&`)}'`;
}
