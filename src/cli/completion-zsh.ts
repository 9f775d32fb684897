/** The completion script of zsh: a function for each command, which calls `_arguments`. */
import { firstSentence } from "./command.ts";
import { allCommands, type Completable, type CommandNode, type CommandOption } from "./command-tree.ts";

export function zshCompletion(program: CommandNode): string {
  return `#compdef ostiary
# zsh completion of ostiary
${allCommands(program).map(functionOf).join("\n")}
if [ "$funcstack[1]" = "_ostiary" ]; then _ostiary "$@"; else compdef _ostiary ostiary; fi
`;
}

function functionOf(node: CommandNode): string {
  const specs = node.options.flatMap(optionSpecs);
  return node.subcommands.length > 0 ? groupFunction(node, specs) : leafFunction(node, specs);
}

function groupFunction({ path, args, subcommands }: CommandNode, specs: readonly string[]): string {
  const names = subcommands.map(({ path: own, description }) =>
    quote(`${own.at(-1)}:${firstSentence(description).replaceAll(":", String.raw`\:`)}`),
  );
  const values = args.find(({ kind }) => kind !== "none" && kind !== "choice");
  const files = values === undefined ? "" : `; ${actionOf(values)}`;
  const cases = subcommands.map((command) => `    ${command.path.at(-1)}) ${nameOf(command)} ;;`);
  return `${nameOf({ path })}() {
  local context state state_descr line
  local -a commands
  typeset -A opt_args
  _arguments -C ${specs.join(" ")} '1: :->command' '*:: :->rest'
  commands=(${names.join(" ")})
  case $state in
  command) _describe command commands${files} ;;
  rest)
    case $line[1] in
${[...cases, ...(files === "" ? [] : [`    *) ${files.slice(2)} ;;`])].join("\n")}
    esac ;;
  esac
}`;
}

function leafFunction({ path, args }: CommandNode, specs: readonly string[]): string {
  const positions = args.map(({ name, variadic, ...completable }, index) =>
    quote(`${variadic ? "*" : index + 1}:${escaped(name)}:${actionOf(completable)}`),
  );
  return `${nameOf({ path })}() {
  _arguments ${[...specs, ...positions].join(" ")}
}`;
}

/** Each name of an option excludes the others, unless it can be repeated. */
function optionSpecs(option: CommandOption): string[] {
  const { names, takesValue, repeatable, description } = option;
  const value = takesValue ? `:value:${actionOf(option)}` : "";
  const before = repeatable ? "*" : `(${names.join(" ")})`;
  return names.map((name) => {
    const assigned = takesValue && name.startsWith("--") ? `${name}=` : name;
    return quote(`${before}${assigned}[${escaped(firstSentence(description))}]${value}`);
  });
}

function actionOf({ kind, choices }: Pick<Completable, "kind" | "choices">): string {
  switch (kind) {
    case "choice":
      return `(${choices.join(" ")})`;
    case "policy":
      return '_files -g "*.polar"';
    case "file":
      return "_files";
    case "directory":
      return "_files -/";
    case "none":
      return " ";
  }
}

function nameOf({ path }: Pick<CommandNode, "path">): string {
  return ["_ostiary", ...path].join("_").replaceAll("-", "_");
}

function escaped(text: string): string {
  return text.replaceAll(/[[\]:\\]/g, String.raw`\$&`);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
