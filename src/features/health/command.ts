/**
 * `ostiary health`: whether a node can answer queries, as an exit status, for the health check of the image and for
 * scripts.
 */
import { type Config, configSchema } from "../../config/config.ts";
import { print, printError } from "../../runtime/process.ts";
import { localUrl } from "../../runtime/serve.ts";
import { notedAddress } from "../../store/directory/noted-address.ts";
import { nodeKeysIn } from "../../config/node-key.ts";
import { AppError } from "../../util/app-error.ts";
import { type AddCommand, UsageError } from "../../cli/command.ts";
import { authorityFile, caOption, checkedUrl, fetchNode, noAnswer } from "../../cli/node-api.ts";
import { requestOwnNode } from "../../cli/own-node.ts";
import { nodeConfig } from "../../cli/setting-options.ts";

const timeoutMs = 2500;
const firstTimeoutMs = 1500;

interface HealthOptions {
  readonly url?: string;
  readonly ca?: string;
  readonly asNode?: true;
  readonly config?: string;
  readonly json?: true;
}

interface Health {
  readonly ok: boolean;
  readonly text: string;
}

export const healthCommand: AddCommand = (program, finish) => {
  program
    .command("health")
    .description("Check whether a node can answer queries: status 0 if it can, 1 if not")
    .option(
      "--url <url>",
      "The URL of the node (default: the one that runs with the data of OSTIARY_DATA, or that of OSTIARY_HOST, OSTIARY_PORT and OSTIARY_TLS_CERT; all of these can be in the file)",
    )
    .option(...caOption)
    .option(
      "--as-node",
      "Ask like another node: fails if the node at `--url` does not accept the node key in OSTIARY_NODE_KEY",
    )
    .option("--config <file>", "The configuration file of the node [OSTIARY_CONFIG]")
    .option("--json", "Print one line of JSON: as without this option, or that there is no answer")
    .action(async (options: HealthOptions) => {
      if (options.asNode && options.url === undefined) throw new UsageError("`--as-node` needs the `--url` of a node");
      if (options.asNode) await requireAcceptedKey(checkedUrl(options.url ?? ""), options.ca);
      const asked =
        options.url === undefined
          ? ownHealth(await nodeConfig({ config: options.config }))
          : healthAt(checkedUrl(options.url), options.ca);
      const { ok, text } = await asked.catch(async (error: unknown) => {
        if (options.json) await print(`${JSON.stringify({ status: "no answer" })}\n`);
        throw error;
      });
      await print(`${text.trimEnd()}\n`);
      if (!ok) finish(1);
    });
};

async function healthAt(url: string, ca?: string, withinMs = timeoutMs): Promise<Health> {
  const node = { url, ca: authorityFile(ca) };
  const init = { signal: AbortSignal.timeout(withinMs) };
  const response = await fetchNode(node, "/healthcheck", init, "`--url`");
  return { ok: response.ok, text: await response.text() };
}

/** AppError `unauthorized` if the node refuses the first node key of the environment. */
async function requireAcceptedKey(url: string, ca?: string): Promise<void> {
  const keys = process.env["OSTIARY_NODE_KEY"] ?? "";
  if (keys.trim() === "") throw new UsageError("`--as-node` needs the node key in OSTIARY_NODE_KEY");
  const [key] = nodeKeysIn(keys);
  const node = { url, ca: authorityFile(ca) };
  const init = { headers: { Authorization: `Bearer ${key}` }, signal: AbortSignal.timeout(timeoutMs) };
  const response = await fetchNode(node, "/replication/v1/primary", init, "`--url`");
  // Other statuses, such as that of a node without a primary, come after the check of the key.
  if (response.status !== 401 && response.status !== 403) return;
  const { message = response.statusText } = (await response.json().catch(() => ({}))) as { readonly message?: string };
  throw new AppError("unauthorized", `${url} refuses requests with this node key: ${message}`);
}

/**
 * The node that runs with these data, whose port and certificate can be options that only it knows. If these settings
 * name a port, or nobody answers there, the node at that port; the other one comes second.
 */
async function ownHealth({ host, port, data, tlsCert }: Config): Promise<Health> {
  const url = localUrl(host, port, tlsCert === undefined ? "http" : "https");
  const noted = notedAddress(data) ?? url;
  if (noted === url) return healthHere(url, tlsCert, timeoutMs);
  const [first, second] = port === configSchema.shape.port.parse(undefined) ? [noted, url] : [url, noted];
  try {
    return await healthHere(first, tlsCert, firstTimeoutMs);
  } catch (error) {
    return await healthHere(second, tlsCert, timeoutMs - firstTimeoutMs).catch(() => {
      throw error;
    });
  }
}

/** Over TLS, its certificate names the host of its clients, not the address of this machine. */
async function healthHere(url: string, tlsCert: string | undefined, withinMs: number): Promise<Health> {
  if (url.startsWith("http:")) return healthAt(url, undefined, withinMs);
  const { status, body, isOwn } = await requestOwnNode(url, "/healthcheck", tlsCert, withinMs).catch(
    (error: unknown) => {
      throw noAnswer({ url }, error, "`--url`");
    },
  );
  if (isOwn === false)
    await printError(`note: ${url} presents another certificate than the file \`${tlsCert}\` of \`tlsCert\`\n`);
  return { ok: status >= 200 && status < 300, text: body };
}
