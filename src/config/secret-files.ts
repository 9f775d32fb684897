/**
 * Secrets in files of their own, as Docker and Kubernetes mount them: `adminKeyFile` in place of `adminKey`. Neither the
 * environment of the process nor its configuration file has the secret then.
 */
import { fileProblem } from "../util/reason.ts";
import { readRegularFileSync } from "../util/regular-file.ts";
import { fileSettingOf, type Setting } from "./settings.ts";

/** The secrets that can be in a file. The name of the other setting ends with `File`. */
const secretsInFiles = ["nodeKey", "adminKey"] as const;

interface Loaded {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** Puts the content of each file that `collected` names in the place of its secret. A problem never repeats a secret. */
export function readSecretFiles(collected: Record<string, unknown>, settings: readonly Setting[]): Loaded {
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const name of secretsInFiles) {
    const path = collected[fileSettingOf(name)];
    const setting = settings.find((each) => each.name === name);
    if (typeof path !== "string" || setting === undefined) continue;
    const inFile = `the file \`${path}\` of ${fileSettingOf(name)}`;
    if (collected[name] !== undefined) {
      problems.push(`${name} and ${fileSettingOf(name)} are both set; remove one of them`);
      continue;
    }
    try {
      const { bytes, stats } = readRegularFileSync(path, bytesMax);
      const text = bytes.toString().replace(/\r?\n$/, "");
      if (!setting.schema.safeParse(text).success)
        problems.push(`${inFile} holds no valid ${name}; allowed: ${setting.allowed}`);
      else collected[name] = text;
      if (isOpenToOthers(stats))
        warnings.push(`${inFile} can be read or changed by other users of this machine: ${remedy}`);
    } catch (error) {
      problems.push(
        `${inFile} can't be read: ${fileProblem(error)}; name another, or make it readable for this process`,
      );
    }
  }
  return { problems, warnings };
}

const remedy = "remove the permissions with `chmod go=`, or set `defaultMode: 0440` of a Kubernetes secret";
const bytesMax = 4096;

/**
 * The owner of a mounted secret can be root while this process is another user: then it needs the permission of the
 * group or of others to read the file, and only the permission to write is too much.
 */
export function isOpenToOthers({ mode, uid }: { readonly mode: number; readonly uid: number }): boolean {
  const own = process.getuid?.();
  return (mode & (own === uid ? 0o077 : 0o022)) !== 0;
}
