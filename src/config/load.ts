/**
 * Loads the configuration: defaults, then the file, then the environment, then flags; later sources win. Loading finds
 * all problems at once. Each problem names the setting, its value, the source and the allowed values; it never repeats
 * the value of a secret.
 */
import { must } from "../util/assert.ts";
import { suggestion } from "../util/suggestion.ts";
import { brokerAddress, embeddedBroker } from "./broker-address.ts";
import { failoverUrlProblem } from "./failover-url.ts";
import { configSchema, developmentKey, type Config } from "./config.ts";
import { type Environment, serviceVariables } from "./kubernetes-variables.ts";
import { isWeakNodeKey, nodeKeysIn } from "./node-key.ts";
import { type DeprecatedSetting, deprecationWarnings } from "./deprecated-settings.ts";
import { oldNames, oldSection } from "./renamed-settings.ts";
import { limitsWithin, type Resources } from "./resource-limits.ts";
import { readSecretFiles } from "./secret-files.ts";
import {
  formerSettings,
  isSection,
  putAt,
  sections,
  settings,
  valueAt,
  type Setting,
  type SettingNames,
} from "./settings.ts";

export interface ConfigSources {
  /** The parsed content of the file, and its name for messages. */
  readonly file?: { readonly name: string; readonly content: unknown } | undefined;
  readonly environment: Environment;
  /** By the name of the setting (`log.level`). */
  readonly flags: Readonly<Record<string, string>>;
  /** What this process may use, by default everything. It lowers the defaults of some limits. */
  readonly resources?: Resources;
}

interface LoadedConfig {
  /** Undefined if there are problems. */
  readonly config?: Config;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  /** The former settings that have a value. */
  readonly former: readonly Setting[];
}

/** How nodes send telemetry, by the standard variable that can ask for something else. */
const otlpProtocols = {
  OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/protobuf",
  OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: "http/protobuf",
  OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: "http/json",
} as const;

function otlpProblems(environment: Environment): string[] {
  if (environment["OTEL_SDK_DISABLED"]?.toLowerCase() === "true") return [];
  return Object.entries(otlpProtocols).flatMap(([name, allowed]) => {
    const value = environment[name]?.trim();
    if (!value || value === allowed) return [];
    return [`${name} is \`${value}\`; allowed: \`${allowed}\`, which collectors usually accept at port 4318`];
  });
}

export function loadConfig(given: ConfigSources): LoadedConfig {
  const sources = { ...given, environment: withoutServices(given.environment) };
  const problems = [
    ...unknownKeys(sources),
    ...unknownVariables(sources.environment),
    ...otlpProblems(sources.environment),
  ];
  const deprecated: DeprecatedSetting[] = [];
  const former: Setting[] = [];
  const collected: Record<string, unknown> = {};
  for (const setting of [...settings, ...formerSettings]) {
    const found = find(setting, sources);
    if (found === undefined) continue;
    if ("problem" in found) {
      problems.push(found.problem);
      continue;
    }
    if (found.deprecated !== undefined) deprecated.push(found.deprecated);
    if (formerSettings.includes(setting)) former.push(setting);
    if (setting.schema.safeParse(found.value).success) putAt(collected, setting.configPath, found.value);
    else problems.push(refusal(setting, found));
  }
  const secrets = readSecretFiles(collected, settings);
  problems.push(...secrets.problems);
  const warnings = [...deprecationWarnings(deprecated), ...secrets.warnings];
  if (collected["role"] === undefined && !problems.some((problem) => problem.startsWith("role ")))
    problems.push(missing("role", "every node needs one"));
  if (problems.length > 0) return { problems, warnings: [], former };
  const limits = given.resources === undefined ? {} : limitsWithin(given.resources);
  for (const [name, value] of Object.entries(limits))
    if (valueAt(collected, ["limits", name]) === undefined) putAt(collected, ["limits", name], value);
  const config = configSchema.parse(collected);
  if (config.nodeKey !== undefined && nodeKeysIn(config.nodeKey).some(isWeakNodeKey)) warnings.push(weakNodeKey);
  const conflicts = checkCombinations(config);
  return conflicts.length > 0
    ? { problems: conflicts, warnings: [], former }
    : { config, problems: [], warnings, former };
}

const weakNodeKey =
  "a key of nodeKey has few different characters, so who sees messages of nodes can guess it; replace it with a random one, such as `openssl rand -hex 32` prints";

interface Found {
  readonly value: unknown;
  /** The name under which it was found. */
  readonly name: string;
  readonly source: "flag" | "environment" | "file";
  /** The source, for messages: "the flag --port". */
  readonly from: string;
  readonly deprecated?: DeprecatedSetting;
}

/** The value of a setting under its name or its name in 0.1.0; a problem if both are set. */
function find(setting: Setting, sources: ConfigSources): Found | { readonly problem: string } | undefined {
  const found = findRenamed(setting, sources);
  if (found === undefined || "problem" in found || !formerSettings.includes(setting)) return found;
  return { ...found, deprecated: { setting, name: found.name, from: found.from, isConstant: true } };
}

function findRenamed(setting: Setting, sources: ConfigSources): Found | { readonly problem: string } | undefined {
  const current = lookUp(setting, sources);
  const old = oldNames.get(setting);
  if (old === undefined) return current;
  const isMoved = old.variable === setting.variable;
  const renamed = lookUp(old, isMoved ? { ...sources, environment: {} } : sources);
  if (renamed === undefined) return current;
  const deprecated = { setting, name: old.name, from: renamed.from, isConstant: false };
  if (current === undefined) return { ...renamed, deprecated };
  // The flag and the variable of a moved setting are also its names in 0.1.0, and win over the file.
  if (isMoved && current.source !== "file") return { ...current, deprecated };
  return {
    problem: `${setting.name} from ${current.from} and ${old.name}, its old name, from ${renamed.from} are both set; remove ${old.name}`,
  };
}

/** The value from the last source that has one. An empty variable counts as not set, as is usual. */
function lookUp({ name, flag, variable, path }: SettingNames, { flags, environment, file }: ConfigSources) {
  const places: readonly Found[] = [
    { value: flags[name], name, source: "flag", from: `the flag ${flag}` },
    { value: environment[variable] || undefined, name, source: "environment", from: `the variable ${variable}` },
    { value: valueAt(file?.content, path), name, source: "file", from: `the file ${file?.name}` },
  ];
  return places.find(({ value }) => value !== undefined && value !== null);
}

function refusal(setting: Setting, found: Found): string {
  const shown = setting.secret
    ? "has a value (not shown)"
    : holdsSection(found.value)
      ? "is a section (not shown)"
      : `is \`${showValue(found.value)}\``;
  const isRenamed = found.name !== setting.name && !formerSettings.includes(setting);
  const name = isRenamed ? `${found.name}, now ${setting.name},` : found.name;
  return `${name} ${shown} from ${found.from}; allowed: ${setting.allowed}${unquoted(setting, found.value)}`;
}

/** A section may contain a secret: `broker: { url: …, password: … }`. */
function holdsSection(value: unknown): boolean {
  return isSection(value) || (Array.isArray(value) && value.some(holdsSection));
}

/** In YAML `password: 123456` is a number and `name: true` is a boolean. */
function unquoted({ schema }: Setting, value: unknown): string {
  const isBare = typeof value === "number" || typeof value === "boolean";
  return isBare && schema.safeParse(String(value)).success ? "; put it into quotes" : "";
}

function showValue(value: unknown): string {
  // Settings do not accept a password in a URL, but a message must not repeat one either.
  const shown = (typeof value === "string" ? value : JSON.stringify(value)).replace(/\/\/.*@/s, "//***@");
  return shown.length > 100 ? `${shown.slice(0, 100)}…` : shown;
}

/** `key` is the place of the setting in a `Config`. */
function missing(key: string, reason: string): string {
  const { name, flag, variable, allowed } = settingAt(key);
  return `${name} is not set, and ${reason}: ${flag}, ${variable} or \`${name}:\` in the file; allowed: ${allowed}`;
}

function settingAt(key: string): Setting {
  return must(settings.find(({ configPath }) => configPath.join(".") === key));
}

/** Checks combinations of settings that are valid one by one. */
function checkCombinations(config: Config): string[] {
  const { role, adminKey, environment, limits } = config;
  const problems = [
    ...checkReplica(config),
    ...checkFailover(config),
    ...checkEnvironments(config),
    ...checkOidc(config),
    ...checkTls(config),
  ];
  if (role === "primary" && config.import !== undefined)
    problems.push(
      "import is for edges and fallbacks: a primary that starts from a snapshot would lose all later writes",
    );
  const keyEnvironment = adminKey?.split("_")[1];
  if (keyEnvironment !== undefined && keyEnvironment !== environment)
    problems.push(
      `adminKey is a key of environment \`${keyEnvironment}\`, but environment is \`${environment}\`; make them the same`,
    );
  if (adminKey === developmentKey)
    problems.push("adminKey is the documented test key, which is public; choose another, or run `ostiary dev`");
  problems.push(...needs(config, "brokerPassword", "brokerUsername"), ...checkBrokers(config));
  if (limits.retryDelayMsMin > limits.retryDelayMsMax)
    problems.push(
      "advanced.retryDelayMsMin is larger than advanced.retryDelayMsMax; remove both, which are no settings any more",
    );
  return problems;
}

function checkReplica({ role, primary, nodeKey, follow, peers }: Config): string[] {
  if (role === "primary") return [];
  const problems: string[] = [];
  const who = role === "edge" ? "an edge" : "a fallback";
  const replicates = role === "edge" || follow || peers.length > 0;
  const condition = role === "edge" ? "" : " with `follow` or `peers`";
  if (primary === undefined && replicates) problems.push(missing("primary", `${who}${condition} needs it`));
  if (nodeKey === undefined) problems.push(missing("nodeKey", `${who} needs it`));
  return problems;
}

/** A primary that lacked some environments would leave them without one. */
function checkEnvironments({ role, failover, environments }: Config): string[] {
  if (environments === undefined) return [];
  if (role === "primary") return ["environments is for edges and fallbacks: a primary has all environments"];
  return failover === undefined
    ? []
    : ["environments has no place beside failover: a node that can become the primary follows all environments"];
}

function checkFailover(config: Config): string[] {
  const { failover, role, peers, ack, failoverMayLoseWrites, nodeKey } = config;
  if (failover === undefined) return [];
  if (role === "fallback") return ["failover is for primaries and edges: a fallback never becomes the primary"];
  const problems: string[] = [];
  const unusable = failoverUrlProblem(failover);
  if (unusable !== undefined) problems.push(`failover is not usable: ${unusable}`);
  if (role === "primary" && peers.length === 0)
    problems.push(
      missing("peers", "with `failover` a node asks its peers for their votes and replicates the elected one"),
    );
  if (role === "primary" && nodeKey === undefined)
    problems.push(missing("nodeKey", "with `failover` each node starts as an edge, which needs it"));
  if (ack === 0 && !failoverMayLoseWrites)
    problems.push(
      "failover without ack loses writes that the last primary acknowledged and no edge has: set `ack: edges:1` or more, or accept the loss with `failoverMayLoseWrites: true`",
    );
  return [
    ...problems,
    ...needs(config, "failoverCert", "failoverKey"),
    ...needs(config, "failoverKey", "failoverCert"),
  ];
}

function checkTls(config: Config): string[] {
  const { port, nodePort, plainPort, tlsCert } = config;
  const problems = [
    ...needs(config, "tlsCert", "tlsKey"),
    ...needs(config, "tlsKey", "tlsCert"),
    ...needs(config, "nodeClientCa", "tlsCert"),
  ];
  for (const [key, number] of Object.entries({ nodePort, plainPort })) {
    const { name } = settingAt(key);
    if (number === 0) continue;
    if (tlsCert === undefined) problems.push(missing("tlsCert", `${name} has no effect without it`));
    if (number === port) problems.push(`${name} is ${number}, which is port as well; choose another`);
  }
  if (nodePort !== 0 && nodePort === plainPort)
    problems.push(`advanced.plainPort is ${plainPort}, which is advanced.nodePort as well; choose another`);
  if (nodePort !== 0 && config.nodeClientCa === undefined)
    problems.push(missing("nodeClientCa", "advanced.nodePort needs it"));
  if (nodePort === 0 && config.nodeClientCa !== undefined)
    problems.push(missing("nodePort", "advanced.nodeClientCa has no effect without it"));
  return problems;
}

/** A token without a checked audience was made for somebody else, so `audience` is required. */
function checkOidc({ oidc, limits }: Config): string[] {
  const { issuer, audience, clientId, admin, write, read } = oidc;
  const roles = [...admin, ...write, ...read];
  if (issuer === undefined) {
    const isUseless = audience.length > 0 || clientId !== undefined || roles.length > 0;
    return isUseless ? [missing("oidc.issuer", "the other settings of `oidc` have no effect without it")] : [];
  }
  const problems: string[] = [];
  if (!URL.canParse(issuer)) problems.push(`oidc.issuer is \`${issuer}\`, which is no URL`);
  if (audience.length === 0) problems.push(missing("oidc.audience", "oidc.issuer needs it"));
  if (roles.length === 0)
    problems.push("oidc.admin, oidc.write and oidc.read are not set, so no person has a role; set one of them");
  const incomplete = roles.find((value) => /^[A-Za-z0-9-]+::$/.test(value));
  if (incomplete !== undefined)
    problems.push(`a role of oidc has \`${incomplete}\`, an environment without a value; write \`${incomplete}value\``);
  if (limits.oidcKeysAgeMsMax < limits.oidcKeysRefreshMs)
    problems.push(
      "advanced.oidcKeysAgeMsMax is smaller than advanced.oidcKeysRefreshMs; remove both, which are no settings any more",
    );
  return problems;
}

function checkBrokers(config: Config): string[] {
  const names = config.broker.map((url) => (url === embeddedBroker ? url : brokerAddress(url).name));
  const duplicate = names.find((name, index) => names.indexOf(name) !== index);
  return [
    // A node has the same client id at all brokers, so two connections to one broker would disconnect each other forever.
    ...(duplicate === undefined ? [] : [`broker names \`${duplicate}\` twice; name each broker once`]),
    ...needs(config, "brokerCert", "brokerKey"),
    ...needs(config, "brokerKey", "brokerCert"),
  ];
}

/** A problem if one setting is set without the other, which it needs. */
function needs(config: Config, key: keyof Config, needed: keyof Config): string[] {
  const isAlone = config[key] !== undefined && config[needed] === undefined;
  return isAlone ? [missing(needed, `${settingAt(key).name} has no effect without it`)] : [];
}

function unknownKeys({ file }: ConfigSources): string[] {
  if (file === undefined || file.content === null || file.content === undefined) return [];
  if (!isSection(file.content))
    return [
      `the file ${file.name} holds no settings, but ${Array.isArray(file.content) ? "a list" : "a single value"}; write \`name: value\` lines, with a space after the colon`,
    ];
  const found = Object.entries(file.content).flatMap(([key, value]) => {
    if (!sections.has(key) && key !== oldSection) return [key];
    if (value === null) return [];
    return isSection(value) ? Object.keys(value).map((inner) => `${key}.${inner}`) : [`${key} (a section of settings)`];
  });
  return unknown(found, ({ name }) => name).map(
    ({ name, hint }) => `${name} in the file ${file.name} is not a setting${hint}`,
  );
}

/** Variables that are no settings: those of the project's own tests, and the name of the file. */
const otherVariable = /^OSTIARY_(?:TEST_|CONFIG$)/;

function withoutServices(environment: Environment): Environment {
  const ignored = serviceVariables(environment);
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !ignored.includes(name)));
}

function unknownVariables(environment: Environment): string[] {
  const found = Object.keys(environment).filter((name) => name.startsWith("OSTIARY_") && !otherVariable.test(name));
  return unknown(found, ({ variable }) => variable).map(
    ({ name, hint }) => `the variable ${name} is not a setting${hint}`,
  );
}

/** The names that no setting has or had in 0.1.0, each with the probably meant one. */
function unknown(found: readonly string[], nameOf: (names: SettingNames) => string) {
  const current = settings.map(nameOf);
  const known = new Set([...current, ...formerSettings.map(nameOf), ...oldNames.values().map(nameOf)]);
  return found
    .filter((name) => !known.has(name))
    .map((name) => {
      const meant = suggestion(name, current);
      return { name, hint: meant === undefined ? "" : `; did you mean \`${meant}\`?` };
    });
}
