/** `ostiary login`, `logout` and `whoami`: people use a node without an API key, with tokens of its OIDC issuer. */
import type { Command } from "commander";
import { peopleEndpoints } from "./endpoints.ts";
import type { ResponseOf } from "../../http/endpoint.ts";
import { isLoopback } from "../../http/oidc/issuer-documents.ts";
import { keepFilesPrivate, print } from "../../runtime/process.ts";
import { AppError } from "../../util/app-error.ts";
import { printable } from "../../util/printable.ts";
import { reasonOf } from "../../util/reason.ts";
import { printWarning } from "../../cli/color.ts";
import type { AddCommand } from "../../cli/command.ts";
import {
  accessOf,
  answerIn,
  callEndpoint,
  authorityFile,
  caOption,
  errorFrom,
  fetchNode,
  type NodeAccess,
  nodeUrl,
  personalEnvironment,
  withAccess,
} from "../../cli/node-api.ts";
import { hasBrowser, logInWithBrowser } from "../../cli/oidc/browser-login.ts";
import { revoke } from "../../cli/oidc/current-token.ts";
import { logInWithDevice } from "../../cli/oidc/device-login.ts";
import { connectIssuer, loginFrom, type LoginTarget } from "../../cli/oidc/issuer-client.ts";
import { readLogins, withLockedLogins, writeLogin } from "../../cli/oidc/stored-logins.ts";

const urlOption = ["--url <url>", "The URL of the node (default: http://127.0.0.1:8080) [OSO_URL]"] as const;

export const loginCommand: AddCommand = (program) => {
  program
    .command("login")
    .description(
      "Log in to a node as a person, at the OIDC issuer of the node: in the browser of this machine, or with a code that you enter on any device. All commands then use this login if OSO_AUTH is not set",
    )
    .option(...urlOption)
    .option(...caOption)
    .option("--device", "Show a code, also if this machine has a browser")
    .option("--json", "Print JSON")
    .action(async (options: { url?: string; ca?: string; device?: true; json?: true }) => {
      keepFilesPrivate();
      const url = nodeUrl(options.url);
      const { protocol, hostname } = new URL(url);
      if (protocol === "http:" && !isLoopback(hostname))
        await printWarning(`${url} is not encrypted: everybody in the network can read the token and use it`);
      const node = { url, ca: authorityFile(options.ca) };
      const target = await loginTarget(node);
      const issuer = await connectIssuer(target);
      const logIn = hasBrowser() && options.device !== true ? logInWithBrowser : logInWithDevice;
      const login = loginFrom(target, await logIn(issuer, target.scopes));
      // Only a login that the node accepts is kept.
      const person = await callEndpoint(
        { ...node, credential: () => Promise.resolve(login.token), environment: personalEnvironment() },
        peopleEndpoints.whoami,
      );
      await withLockedLogins(async () => writeLogin(url, login));
      await print(
        options.json
          ? `${JSON.stringify({ url, ...person }, null, 2)}\n`
          : `logged in to ${url} as ${describe(person)}\n`,
      );
    });
};

export const logoutCommand: AddCommand = (program) => {
  program
    .command("logout")
    .description("Forget the login to a node, and revoke it at the issuer")
    .option(...urlOption)
    .option("--all", "Of all nodes")
    .option("--json", "Print JSON")
    .action(async (options: { url?: string; all?: true; json?: true }) => {
      keepFilesPrivate();
      const logins = readLogins();
      const urls = options.all ? Object.keys(logins) : [nodeUrl(options.url)].filter((url) => url in logins);
      for (const url of urls) {
        const login = await withLockedLogins(async () => {
          const current = readLogins()[url];
          writeLogin(url, undefined);
          return current;
        });
        await (login && revoke(login))?.catch((error: unknown) =>
          printWarning(
            `the login to ${url} is forgotten here, but not revoked at the issuer: ${printable(reasonOf(error))}`,
          ),
        );
      }
      const text = urls.length === 0 ? "you are not logged in\n" : urls.map((url) => `logged out of ${url}\n`).join("");
      await print(options.json ? `${JSON.stringify({ urls })}\n` : text);
    });
};

export const whoamiCommand: AddCommand = (program) => {
  withAccess(program.command("whoami"), peopleEndpoints.whoami)
    .description("Show whom the API key or the login belongs to, and what it may do")
    .option("--json", "Print JSON")
    .action(async (options: { json?: true }, command: Command) => {
      const self = await callEndpoint(accessOf(command), peopleEndpoints.whoami);
      await print(options.json ? `${JSON.stringify(self, null, 2)}\n` : `${describe(self)}\n`);
    });
};

type Principal = ResponseOf<typeof peopleEndpoints.whoami>;

function describe(self: Principal): string {
  const { kind, id, name, role, environment, only_predicates: predicates, only_types: types } = self;
  const who = kind === "key" ? `the API key ${id}${name ? ` (${name})` : ""}` : name === null ? id : `${name} (${id})`;
  const limits = [predicates && `of ${predicates.join(", ")}`, types && `about ${types.join(", ")}`].filter(Boolean);
  const restriction = limits.length === 0 ? "" : `, which may change only facts ${limits.join(" and ")}`;
  return printable(`${who}, with the role ${role} in the environment ${environment}${restriction}`);
}

/** Asks a node where its people log in. */
async function loginTarget(node: Pick<NodeAccess, "url" | "ca">): Promise<LoginTarget> {
  const { url } = node;
  const response = await fetchNode(node, peopleEndpoints.getLogin.path, { signal: AbortSignal.timeout(15_000) });
  if (!response.ok) throw await errorFrom(url, response);
  const answer = answerIn(peopleEndpoints.getLogin, await response.json().catch(() => undefined));
  const { issuer, client_id: clientId, scopes, audience } = answer;
  if (clientId === null)
    throw new AppError(
      "invalid_request",
      `${url} has no client for \`ostiary login\`: set \`oidc.clientId\` in the configuration of the node`,
    );
  return { issuer, clientId, scopes, audience };
}
