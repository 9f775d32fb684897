/** `ostiary completion`: prints a script that completes command lines in a shell, without a start of the program. */
import { Argument } from "commander";
import { print } from "../runtime/process.ts";
import type { AddCommand } from "./command.ts";
import { commandTree } from "./command-tree.ts";
import { bashCompletion } from "./completion-bash.ts";
import { fishCompletion } from "./completion-fish.ts";
import { zshCompletion } from "./completion-zsh.ts";

const details = `
Examples:
  eval "$(ostiary completion bash)"                                             in ~/.bashrc
  ostiary completion zsh > "\${fpath[1]}/_ostiary"                                then start a new zsh
  ostiary completion fish > ~/.config/fish/completions/ostiary.fish`;

const scripts = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion };

export const completionCommand: AddCommand = (program) => {
  program
    .command("completion")
    .description("Print a script that completes commands, options and file names in a shell")
    .addArgument(new Argument("<shell>", "The shell").choices(["bash", "zsh", "fish"]))
    .addHelpText("after", details)
    .action(async (shell: keyof typeof scripts) => print(scripts[shell](commandTree(program))));
};
