/** The completion script of bash (3.2 and newer): one function with a table of the commands. */
import { allCommands, type Completable, type CommandNode, type CommandOption } from "./command-tree.ts";

export function bashCompletion(program: CommandNode): string {
  const commands = allCommands(program);
  const paths = commands.slice(1).map(({ path }) => `"${path.join(" ")}"`);
  return `# bash completion of ostiary
_ostiary() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" command="" word IFS=$'\\n'
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${command:+$command }$word" in
      ${paths.join("|")}) command="\${command:+$command }$word" ;;
    esac
  done
  # bash splits \`--role=admin\` into three words.
  if [[ $cur == = ]]; then cur=""; elif [[ $prev == = ]]; then prev="\${COMP_WORDS[COMP_CWORD-2]}"; fi
  case "$command:$prev" in
${commands.flatMap(valueCases).join("\n")}
  esac
  case "$command" in
${commands.map(commandCase).join("\n")}
  esac
}
_ostiary_words() { COMPREPLY+=($(compgen -W "$1" -- "$cur")); }
_ostiary_files() { compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- "$cur")); }
_ostiary_directories() { compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -d -- "$cur")); }
_ostiary_policies() {
  compopt -o filenames 2>/dev/null
  COMPREPLY+=($(compgen -f -X '!*.polar' -- "$cur") $(compgen -d -- "$cur"))
}
complete -F _ostiary ostiary
`;
}

/** What completes the value of an option; also nothing, so that options are not offered in its place. */
function valueCases({ path, options }: CommandNode): string[] {
  return options
    .filter(({ takesValue }) => takesValue)
    .map((option) => {
      const patterns = option.names.map((name) => `"${path.join(" ")}:${name}"`);
      return `    ${patterns.join("|")}) ${completionOf(option)}return ;;`;
    });
}

function commandCase({ path, options, args, subcommands }: CommandNode): string {
  const words = subcommands.map((command) => command.path.at(-1) ?? "");
  const values = args.map(completionOf).find((text) => text !== "") ?? "";
  const others = (words.length > 0 ? wordsOf(words) : "") + values || ":; ";
  const flags = options.flatMap(({ names }: CommandOption) => names);
  return `    "${path.join(" ")}")
      if [[ $cur == -* ]]; then ${wordsOf(flags)}
      else ${others}fi ;;`;
}

function wordsOf(words: readonly string[]): string {
  return `_ostiary_words $'${words.join("\\n")}'; `;
}

function completionOf({ kind, choices }: Completable): string {
  switch (kind) {
    case "choice":
      return wordsOf(choices);
    case "policy":
      return "_ostiary_policies; ";
    case "file":
      return "_ostiary_files; ";
    case "directory":
      return "_ostiary_directories; ";
    case "none":
      return "";
  }
}
