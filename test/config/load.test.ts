import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { developmentEnvironment, developmentKey } from "../../src/config/config.ts";
import { loadConfig, type ConfigSources } from "../../src/config/load.ts";
import { defaultLimits } from "../../src/config/limits.ts";
import { describeServiceVariables, serviceVariables } from "../../src/config/kubernetes-variables.ts";
import { oldNames } from "../../src/config/renamed-settings.ts";
import { describeConfig, formerSettings, putAt, settings, type Setting, valueAt } from "../../src/config/settings.ts";
import { must } from "../../src/util/assert.ts";
import { formatYaml, parseYaml } from "../../src/runtime/yaml.ts";

const nodeKey = "node-key-0123456789";

function load(sources: Partial<ConfigSources>) {
  return loadConfig({ environment: {}, flags: {}, ...sources });
}

function problems(sources: Partial<ConfigSources>): string[] {
  const loaded = load(sources);
  expect(loaded.config).toBeUndefined();
  return [...loaded.problems];
}

/**
 * The variables that Kubernetes sets for the Services `ostiary`, `ostiary-primary`, `ostiary-mqtt` and
 * `ostiary-service`.
 */
const ofServices = {
  OSTIARY_SERVICE_HOST: "10.0.0.1",
  OSTIARY_SERVICE_PORT: "8080",
  OSTIARY_SERVICE_PORT_HTTP: "8080",
  OSTIARY_PORT: "tcp://10.0.0.1:8080",
  OSTIARY_PORT_8080_TCP: "tcp://10.0.0.1:8080",
  OSTIARY_PORT_8080_TCP_PROTO: "tcp",
  OSTIARY_PORT_8080_TCP_PORT: "8080",
  OSTIARY_PORT_8080_TCP_ADDR: "10.0.0.1",
  OSTIARY_PRIMARY_SERVICE_HOST: "10.0.0.2",
  OSTIARY_PRIMARY_SERVICE_PORT: "8080",
  OSTIARY_PRIMARY_PORT: "tcp://10.0.0.2:8080",
  OSTIARY_PRIMARY_PORT_8080_TCP: "tcp://10.0.0.2:8080",
  OSTIARY_MQTT_SERVICE_HOST: "10.0.0.3",
  OSTIARY_MQTT_SERVICE_PORT: "1883",
  OSTIARY_MQTT_PORT: "tcp://10.0.0.3:1883",
  OSTIARY_SERVICE_SERVICE_HOST: "10.0.0.4",
  OSTIARY_SERVICE_PORT_80_TCP: "tcp://10.0.0.4:80",
};

const file = (content: unknown) => ({ name: "node.yaml", content });

describe("settings", () => {
  test("have safe defaults: this machine only, the published limits", () => {
    const { config } = load({ flags: { role: "primary" } });
    expect(config).toMatchObject({
      host: "127.0.0.1",
      port: 8080,
      broker: ["embedded"],
      refresh: 1_800_000,
      consistencyWait: 2000,
    });
    expect(config?.limits).toEqual(defaultLimits);
    expect(defaultLimits).toMatchObject({
      writeBodyBytesMax: 983_040,
      readBodyBytesMax: 10_485_760,
      queryTimeMsMax: 20_000,
    });
    expect(config?.nodeKey).toBeUndefined();
  });

  test("come from the file, then the environment, then flags, and later ones win", () => {
    const sources: ConfigSources = {
      file: file({ role: "primary", port: 1, host: "file", data: "from-file", log: { level: "debug" } }),
      environment: {
        OSTIARY_PORT: "2",
        OSTIARY_HOST: "variable",
        OSTIARY_QUERY_TIME_MS_MAX: "500ms",
        OSTIARY_DATA: "",
      },
      flags: { port: "3", "log.format": "json" },
    };
    const { config } = load(sources);
    expect(config).toMatchObject({
      port: 3,
      host: "variable",
      data: "from-file",
      log: { level: "debug", format: "json" },
    });
    expect(config?.limits.queryTimeMsMax).toBe(500);
  });

  test("read durations and sizes as people write them", () => {
    const { config } = load({
      file: file({
        role: "primary",
        refresh: "90m",
        advanced: { consistencyWait: 0, writeBodyBytesMax: "1MiB", batchEntriesMax: 5 },
      }),
    });
    expect(config).toMatchObject({ refresh: 5_400_000, consistencyWait: 0 });
    expect(config?.limits).toMatchObject({ writeBodyBytesMax: 1_048_576, batchEntriesMax: 5 });
  });

  test("have a variable and a flag each, whose names follow from the key without `advanced`", () => {
    const byName = new Map(settings.map((setting) => [setting.name, setting]));
    expect(byName.get("nodeKey")).toMatchObject({ variable: "OSTIARY_NODE_KEY", flag: "--node-key", secret: true });
    expect(byName.get("trace.sampleRatio")).toMatchObject({
      variable: "OSTIARY_TRACE_SAMPLE_RATIO",
      flag: "--trace-sample-ratio",
    });
    expect(byName.get("advanced.batchEntriesMax")).toMatchObject({
      variable: "OSTIARY_BATCH_ENTRIES_MAX",
      flag: "--batch-entries-max",
      default: 1000,
    });
    expect(byName.get("refresh")?.default).toBe("30m");
    expect(new Set(settings.map(({ flag }) => flag)).size).toBe(settings.length);
  });

  test("for users are few, and come before the advanced ones", () => {
    const groups = settings.map(({ group }) => group);
    const first = groups.indexOf("advanced");
    expect(first).toBeLessThanOrEqual(51);
    expect(new Set(groups.slice(first))).toEqual(new Set(["advanced"]));
  });
});

/** A valid value that is not the default. */
function other({ schema, default: value }: Setting): unknown {
  const given = schema.parse(value) as number;
  return [given + 1, given - 1, `${given - 1}ms`].find((each) => schema.safeParse(each).success);
}

describe("limits that are constants", () => {
  test("are most of them: an operator has a reason to change the others", () => {
    const limits = settings.filter(({ configPath }) => configPath[0] === "limits");
    expect(limits.length).toBeLessThan(50);
    expect(formerSettings.length + limits.length).toBe(Object.keys(defaultLimits).length);
  });

  test.each(formerSettings.map((setting) => [setting.name, setting] as const))(
    "%s keeps the effect of a value that somebody has set, with a warning",
    (name, setting) => {
      const value = other(setting);
      const inFile: Record<string, unknown> = { role: "primary" };
      putAt(inFile, setting.path, value);
      const flags = { role: "primary" };
      for (const given of [
        { file: file(inFile) },
        { flags, environment: { [setting.variable]: String(value) } },
        { flags: { ...flags, [name]: String(value) } },
      ]) {
        const { problems: found, warnings, config, former } = load(given);
        expect(found).toEqual([]);
        expect(former).toEqual([setting]);
        expect(warnings).toHaveLength(1);
        expect(warnings[0]).toStartWith(`${name} from the `);
        expect(warnings[0]).toEndWith(" is no setting any more, its value is a constant; 0.3.0 does not accept it");
        expect(valueAt(must(config), setting.configPath)).toBe(setting.schema.parse(value));
        expect(valueAt(describeConfig(must(config), former), setting.path)).toBe(
          z.encode(setting.schema, setting.schema.parse(value)),
        );
      }
      expect(valueAt(describeConfig(must(load({ flags }).config)), setting.path)).toBeUndefined();
    },
  );

  test("are not shown where only a limit of the container lowers them, and are where somebody has set the usual value", () => {
    const resources = { memoryBytes: 1024 ** 3, processors: 1 };
    const flags = { role: "primary" };
    const shown = (more: Readonly<Record<string, string>>): unknown => {
      const { config, former } = load({ flags: { ...flags, ...more }, resources });
      return valueAt(describeConfig(must(config), former), ["advanced", "slowQueriesMax"]);
    };
    expect(load({ flags, resources }).config?.limits.slowQueriesMax).toBe(1);
    expect([shown({}), shown({ "advanced.slowQueriesMax": "3" })]).toEqual([undefined, 3]);
  });

  test("are checked as settings are, and never suggested", () => {
    const flags = { role: "primary" };
    expect(load({ flags: { ...flags, "advanced.planNodesMax": "many" } }).problems).toEqual([
      "advanced.planNodesMax is `many` from the flag --plan-nodes-max; allowed: a whole number from 1 to 1000000000",
    ]);
    expect(load({ file: file({ role: "primary", limits: { queriesAsideMax: "x" } }) }).problems).toEqual([
      expect.stringMatching(/^limits\.queriesAsideMax is `x` from the file/),
    ]);
    const [problem = ""] = load({ file: file({ role: "primary", advanced: { planNodeMax: 3 } }) }).problems;
    expect(problem).toStartWith("advanced.planNodeMax in the file node.yaml is not a setting");
    expect(problem).not.toContain("planNodesMax");
  });
});

describe("names of 0.1.0", () => {
  /** The settings of 0.1.0 that were renamed or moved: the old name, and the new one with its variable and flag. */
  const renamed = oldNames.entries().toArray();

  test("are different from all others", () => {
    const names = [...settings, ...formerSettings, ...oldNames.values()].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  test("all work: its reference configuration gives the same values as no configuration", () => {
    const content = parseYaml(readFileSync(join(import.meta.dirname, "settings-0.1.0.yaml"), "utf8"));
    const { problems: found, warnings, config } = load({ file: file(content) });
    expect(found).toEqual([]);
    expect(config).toEqual(must(load({ flags: { role: "primary" } }).config));
    // Settings with an empty value are not set, and newer limits are missing.
    const isSet = (path: readonly string[]): boolean => (valueAt(content as object, path) ?? null) !== null;
    const names = renamed.flatMap(([, { path, name }]) => (isSet(path) ? [name] : []));
    expect(names.length).toBeGreaterThan(100);
    // One about those that have another name, and one about constants.
    expect(warnings).toHaveLength(2);
    const [about = "", ofConstants = ""] = warnings;
    expect(about).toMatch(
      /^\d+ settings from the file node\.yaml have old names; the next release does not accept them: /,
    );
    expect(ofConstants).toMatch(/^\d+ settings from the file node\.yaml are no settings any more, /);
    const told = [
      ...about.matchAll(/(?<=[:,] )\S+(?= is now (\S+?)(?:,|$))/g),
      ...ofConstants.matchAll(/(?<=: |, )limits\.\w+/g),
    ].map(([name]) => name);
    expect(told.toSorted()).toEqual(names.toSorted());
  });

  /** Settings that need each other. */
  const partners: Readonly<Record<string, string>> = {
    brokerCert: "brokerKey",
    brokerKey: "brokerCert",
    failoverCert: "failoverKey",
    failoverKey: "failoverCert",
  };

  test.each(renamed.filter(([setting]) => settings.includes(setting)))(
    "%# work with a warning that gives the new name",
    (setting, old) => {
      const value = String(setting.default ?? "text");
      const inFile: Record<string, unknown> = { role: "primary" };
      putAt(inFile, old.path, setting.default ?? "text");
      const partner = partners[old.name];
      if (partner !== undefined) inFile["advanced"] = { [partner]: "text" };
      const sources: Partial<ConfigSources>[] = [{ file: file(inFile) }];
      if (old.flag !== setting.flag)
        sources.push(
          { environment: { [old.variable]: value }, flags: { role: "primary" } },
          { flags: { role: "primary", [old.name]: value } },
        );
      for (const given of sources) {
        const { problems: found, warnings, config } = load(given);
        expect(found).toEqual([]);
        expect(warnings).toHaveLength(1);
        expect(warnings[0]).toStartWith(`${old.name} from `);
        expect(warnings[0]).toContain(` is the old name of ${setting.name} (${setting.variable}, ${setting.flag})`);
        expect(String(z.encode(setting.schema, valueAt(must(config), setting.configPath)))).toBe(value);
      }
    },
  );

  test.each(renamed.filter(([setting]) => formerSettings.includes(setting)))(
    "%# of limits that are constants now still have an effect",
    (setting, old) => {
      const inFile: Record<string, unknown> = { role: "primary" };
      putAt(inFile, old.path, other(setting));
      const { problems: found, warnings, config } = load({ file: file(inFile) });
      expect(found).toEqual([]);
      expect(warnings).toEqual([expect.stringMatching(/^limits\.\w+ from the file node\.yaml is no setting any more/)]);
      expect(valueAt(must(config), setting.configPath)).toBe(setting.schema.parse(other(setting)));
    },
  );

  test("give the value that the new name would give", () => {
    const { config } = load({
      file: file({ role: "primary", topicPrefix: "x", limits: { logAgeKeptMs: "2d", batchEntriesMax: 7 } }),
      environment: { OSTIARY_LIMITS_QUERIES_ASIDE_MAX: "8" },
      flags: { "limits.copyCheckIntervalMs": "9m" },
    });
    expect(config?.topicPrefix).toBe("x");
    expect(config?.limits).toEqual({
      ...defaultLimits,
      retentionAgeMs: 2 * 86_400_000,
      batchEntriesMax: 7,
      offloadedQueriesMax: 8,
      databaseCheckIntervalMs: 9 * 60_000,
    });
  });

  test("of a moved setting in the file lose to its flag and its variable, which kept their names", () => {
    const moved = renamed.filter(([setting, old]) => old.flag === setting.flag);
    expect(moved.map(([, { name }]) => name).toSorted()).toEqual([
      "brokerCert",
      "brokerKey",
      "consistencyWait",
      "failoverCa",
      "failoverCert",
      "failoverKey",
      "failoverPassword",
      "failoverTtl",
      "failoverUsername",
      "mqttHost",
      "promotedBrokerPassword",
      "promotedBrokerUsername",
      "topicPrefix",
      "trustedProxies",
    ]);
    for (const [setting, old] of moved) {
      const value = String(setting.default || "10.0.0.1");
      const partner = partners[old.name];
      const advanced = partner === undefined ? {} : { [partner]: "text" };
      const given = { file: file({ role: "primary", [old.name]: "not used", advanced }) };
      for (const { problems: found, warnings, config } of [
        load({ ...given, environment: { [setting.variable]: value } }),
        load({ ...given, flags: { [setting.name]: value } }),
      ]) {
        expect(found).toEqual([]);
        expect(warnings).toEqual([
          expect.stringContaining(`${old.name} from the file node.yaml is the old name of ${setting.name} `),
        ]);
        expect(String(z.encode(setting.schema, valueAt(must(config), setting.configPath)))).toBe(value);
      }
    }
  });

  test("are refused together with the new name, in one source or in two", () => {
    expect(
      problems({
        file: file({ role: "primary", topicPrefix: "x", advanced: { topicPrefix: "x" }, limits: { logEventsKept: 1 } }),
        environment: { OSTIARY_RETENTION_EVENTS: "2" },
        flags: { "limits.apiKeysMax": "3", "advanced.apiKeysMax": "3" },
      }),
    ).toEqual([
      "retention.events from the variable OSTIARY_RETENTION_EVENTS and limits.logEventsKept, its old name, from the file node.yaml are both set; remove limits.logEventsKept",
      "advanced.topicPrefix from the file node.yaml and topicPrefix, its old name, from the file node.yaml are both set; remove topicPrefix",
      "advanced.apiKeysMax from the flag --api-keys-max and limits.apiKeysMax, its old name, from the flag --limits-api-keys-max are both set; remove limits.apiKeysMax",
    ]);
  });

  test("are refused with a bad value, under both names", () => {
    expect(problems({ file: file({ role: "primary", limits: { logEventsKept: "many" } }) })[0]).toStartWith(
      "limits.logEventsKept, now retention.events, is `many` from the file node.yaml; allowed: a whole number",
    );
  });
});

describe("a bad setting is refused", () => {
  test("with its name, its value, its source and the allowed values, all problems at once", () => {
    expect(
      problems({
        file: file({ role: "leader", refresh: "soon" }),
        environment: { OSTIARY_PORT: "99999" },
        flags: { broker: "http://x" },
      }),
    ).toEqual([
      "role is `leader` from the file node.yaml; allowed: `primary`, `edge` or `fallback`",
      "port is `99999` from the variable OSTIARY_PORT; allowed: a whole number from 0 to 65535",
      "broker is `http://x` from the flag --broker; allowed: `embedded`, or `mqtt://`, `mqtts://`, `ws://` or `wss://` with host and port, or several of these separated by commas; user and password are settings of their own",
      "refresh is `soon` from the file node.yaml; allowed: a duration from `1s` to `7d`, such as `30m`",
    ]);
  });

  test("without repeating a secret", () => {
    const text = problems({
      flags: { role: "edge" },
      environment: { OSTIARY_NODE_KEY: "hunter2", OSTIARY_ADMIN_KEY: "hunter3" },
    }).join("\n");
    expect(text).toContain("nodeKey has a value (not shown) from the variable OSTIARY_NODE_KEY");
    expect(text).toContain("adminKey has a value (not shown)");
    expect(text).not.toContain("hunter");
  });

  test("without repeating a password that was put into a URL", () => {
    const found = problems({ flags: { role: "primary", broker: "mqtt://me:hunter2@broker:1883" } });
    expect(found[0]).toStartWith("broker is `mqtt://***@broker:1883` from");
    for (const broker of ["mqtt://a:hunter2@b,mqtt://c:hunter3@d", "mqtt://a:hun/ter2@b", "mqtt://a:hunter2,hunter3@b"])
      expect(problems({ flags: { role: "primary", broker } }).join()).not.toContain("hun");
    expect(
      problems({ file: file({ role: "primary", peers: ["http://a:hunter2@b", "http://c:hunter3@d"] }) }).join(),
    ).not.toContain("hunter");
  });

  test("without repeating one in a section that stands in place of a value", () => {
    const values = [{ password: "hunter2" }, [{ url: "mqtt://a", password: "hunter2" }], [[{ password: "hunter2" }]]];
    for (const broker of values)
      expect(problems({ file: file({ role: "primary", broker }) })[0]).toStartWith(
        "broker is a section (not shown) from the file node.yaml; allowed: `embedded`, or",
      );
  });

  test("with advice if YAML read a text as a number or a boolean", () => {
    const found = problems({
      file: file({ role: "primary", brokerUsername: 7, brokerPassword: 123456, nodeId: true, port: "x" }),
    });
    expect(found).toEqual([
      "nodeId is `true` from the file node.yaml; allowed: up to 64 letters, digits, `.`, `_` and `-`; put it into quotes",
      "port is `x` from the file node.yaml; allowed: a whole number from 0 to 65535",
      "brokerUsername is `7` from the file node.yaml; allowed: a text; put it into quotes",
      "brokerPassword has a value (not shown) from the file node.yaml; allowed: a text; put it into quotes",
    ]);
  });

  test.each([
    ["port", "-1"],
    ["port", "80.5"],
    ["port", ""],
    ["port", "0x50"],
    ["refresh", "30"],
    ["refresh", "999ms"],
    ["refresh", "8d"],
    ["advanced.consistencyWait", "61s"],
    ["trace.sampleRatio", "1.5"],
    ["advanced.batchEntriesMax", "0"],
    ["advanced.writeBodyBytesMax", "10MB"],
    ["environment", "a_b"],
    ["environment", "a/b"],
    ["primary", "http://user:pw@host"],
    ["primary", "http://host/path"],
    ["adminKey", "e_default_1_short"],
    ["nodeKey", "with spaces in the key"],
    ["nodeKey", `${nodeKey} ${nodeKey}`],
    ["nodeKey", `${nodeKey} short`],
    ["nodeKey", `${nodeKey} ${nodeKey}1 ${nodeKey}2`],
    ["nodeKey", "passwordpassword aaaaaaaaaaaaaaaa"],
  ])("%s = `%s`", (name, value) => {
    const found = problems({ flags: { role: "primary", [name]: value } });
    expect(found).toHaveLength(1);
    expect(found[0]).toStartWith(`${name} `);
    expect(found[0]).toContain("allowed: ");
  });

  test("if its name is unknown, with the most similar name", () => {
    expect(
      problems({
        file: file({ role: "primary", prot: 1, log: { levle: "info" }, advanced: 3, hots: { a: 1 } }),
        environment: { OSTIARY_NODEKEY: "x", OSTIARY_SOMETHING_ELSE: "y" },
      }),
    ).toEqual([
      "prot in the file node.yaml is not a setting; did you mean `port`?",
      "log.levle in the file node.yaml is not a setting; did you mean `log.level`?",
      "advanced (a section of settings) in the file node.yaml is not a setting",
      "hots in the file node.yaml is not a setting; did you mean `host`?",
      "the variable OSTIARY_NODEKEY is not a setting; did you mean `OSTIARY_NODE_KEY`?",
      "the variable OSTIARY_SOMETHING_ELSE is not a setting",
    ]);
  });

  test("but not because of variables of Kubernetes", () => {
    const defaults = must(load({ flags: { role: "primary" } }).config);
    const { config, problems: found } = load({
      flags: { role: "primary" },
      environment: { ...ofServices, OSTIARY_CONFIG: "x.yaml" },
    });
    expect(found).toEqual([]);
    expect(config).toMatchObject({ port: defaults.port, mqttPort: defaults.mqttPort });
    const own = load({ flags: { role: "primary" }, environment: { ...ofServices, OSTIARY_PORT: "9000" } });
    expect(own.config?.port).toBe(9000);
  });

  test("and a variable belongs to a Kubernetes Service only if the Service has a host variable", () => {
    const problem = (environment: ConfigSources["environment"]) =>
      problems({ flags: { role: "primary" }, environment });
    const port =
      "port is `tcp://10.0.0.1:8080` from the variable OSTIARY_PORT; allowed: a whole number from 0 to 65535";
    expect(problem({ OSTIARY_PORT: "tcp://10.0.0.1:8080" })).toEqual([port]);
    // The host belongs to another Service.
    expect(problem({ OSTIARY_PORT: "tcp://10.0.0.1:8080", OSTIARY_PRIMARY_SERVICE_HOST: "10.0.0.2" })).toEqual([port]);
    expect(problem({ OSTIARY_SERVICE_HOST: "10.0.0.1", OSTIARY_MQTT_PORT: "tcp://10.0.0.3:1883" })[0]).toStartWith(
      "mqttPort is",
    );
    expect(problem({ OSTIARY_SERVICE_HOST: "10.0.0.1", OSTIARY_PORT: "http://10.0.0.1" })[0]).toStartWith("port is");
    expect(problem({ OSTIARY_PRIMARY_SERVICE_PORT: "8080", OSTIARY_EDGE_PORT_8080_TCP_ADDR: "x" })).toEqual([
      "the variable OSTIARY_PRIMARY_SERVICE_PORT is not a setting",
      "the variable OSTIARY_EDGE_PORT_8080_TCP_ADDR is not a setting",
    ]);
    expect(problem({ ...ofServices, OSTIARY_PORTS: "tcp://10.0.0.1:8080" })).toEqual([
      "the variable OSTIARY_PORTS is not a setting; did you mean `OSTIARY_PORT`?",
    ]);
  });

  test("and the node logs their names, with the way to avoid them", () => {
    expect(serviceVariables(ofServices)).toEqual(Object.keys(ofServices));
    expect(describeServiceVariables({ OSTIARY_ROLE: "primary", PORT: "tcp://x" })).toBeUndefined();
    expect(describeServiceVariables({ OSTIARY_SERVICE_HOST: "10.0.0.1", OSTIARY_PORT: "tcp://10.0.0.1:8080" })).toBe(
      "Kubernetes has set OSTIARY_SERVICE_HOST, OSTIARY_PORT for a Service, and they are ignored: set `enableServiceLinks: false` in the pod to avoid them",
    );
    expect(describeServiceVariables(ofServices)).toContain(
      `OSTIARY_SERVICE_HOST, OSTIARY_SERVICE_PORT, OSTIARY_SERVICE_PORT_HTTP and ${Object.keys(ofServices).length - 3} more`,
    );
  });

  test("if the file holds no settings", () => {
    expect(problems({ file: file(["hunter2"]) })[0]).toBe(
      "the file node.yaml holds no settings, but a list; write `name: value` lines, with a space after the colon",
    );
    expect(problems({ file: file("nodeKey:hunter2") })[0]).toBe(
      "the file node.yaml holds no settings, but a single value; write `name: value` lines, with a space after the colon",
    );
    expect(load({ file: file(null), flags: { role: "primary" } }).problems).toEqual([]);
  });
});

describe("combinations of settings are checked", () => {
  test("a node needs a role", () => {
    expect(problems({})[0]).toStartWith(
      "role is not set, and every node needs one: --role, OSTIARY_ROLE or `role:` in the file",
    );
  });

  test("brokers are a list that names each once", () => {
    const { config } = load({ flags: { role: "primary", broker: "embedded, mqtt://a,mqtts://[::1]:8883/" } });
    expect(config?.broker).toEqual(["embedded", "mqtt://a", "mqtts://[::1]:8883/"]);
    const found = problems({ flags: { role: "primary", broker: "mqtt://a,mqtt://b,mqtts://A:1883" } });
    expect(found).toEqual(["broker names `a:1883` twice; name each broker once"]);
    for (const broker of ["", "embedded,", "mqtt://a mqtt://b", "mqtt://a:99999", "embedded,http://x"])
      expect(problems({ flags: { role: "primary", broker } })[0]).toStartWith("broker is ");
  });

  test("a broker's certificate needs its key, and the other way round", () => {
    expect(problems({ flags: { role: "primary", "advanced.brokerCert": "a.crt" } })[0]).toStartWith(
      "advanced.brokerKey is not set, and advanced.brokerCert has no effect without it: --broker-key, OSTIARY_BROKER_KEY",
    );
    expect(problems({ flags: { role: "primary", "advanced.brokerKey": "a.key" } })[0]).toStartWith(
      "advanced.brokerCert is not set",
    );
  });

  test("a certificate needs its key, and its ports need a certificate and differ", () => {
    const primary = { role: "primary" };
    const own = { ...primary, tlsCert: "a.crt", tlsKey: "a.key" };
    const clientCa = { "advanced.nodeClientCa": "ca.crt" };
    expect(problems({ flags: { ...primary, tlsCert: "a.crt" } })[0]).toStartWith("tlsKey is not set, and tlsCert has");
    expect(problems({ flags: { ...primary, tlsKey: "a.key" } })[0]).toStartWith("tlsCert is not set, and tlsKey has");
    expect(problems({ flags: { ...primary, "advanced.plainPort": "8081" } })[0]).toStartWith("tlsCert is not set");
    expect(problems({ flags: { ...own, "advanced.nodePort": "8443" } })[0]).toStartWith(
      "advanced.nodeClientCa is not set, and advanced.nodePort needs it",
    );
    expect(problems({ flags: { ...own, ...clientCa } })[0]).toStartWith("advanced.nodePort is not set");
    expect(problems({ flags: { ...own, "advanced.plainPort": "8080" } })).toEqual([
      "advanced.plainPort is 8080, which is port as well; choose another",
    ]);
    const all = { ...own, ...clientCa, "advanced.nodePort": "8443", "advanced.plainPort": "8081" };
    expect(problems({ flags: { ...all, "advanced.plainPort": "8443" } })).toEqual([
      "advanced.plainPort is 8443, which is advanced.nodePort as well; choose another",
    ]);
    expect(load({ flags: all }).problems).toEqual([]);
    expect(load({ flags: { ...primary, tlsCa: "ca.crt" } }).problems).toEqual([]);
  });

  test("failover needs peers, a node key, and either acknowledgements of edges or the accepted loss of writes", () => {
    const engine = { failover: "etcd://10.0.0.1:2379,10.0.0.2:2379" };
    const peers = { nodeKey, peers: "http://10.0.0.2:8080", ack: "edges:1" };
    expect(load({ flags: { role: "primary", ...engine, ...peers } }).problems).toEqual([]);
    const missing = problems({ flags: { role: "primary", ...engine } });
    expect(missing.map((problem) => problem.split(" ")[0])).toEqual(["peers", "nodeKey", "failover"]);
    expect(missing[2]).toContain("`failoverMayLoseWrites: true`");
    const lossy = { ...peers, ack: "none", failoverMayLoseWrites: "true" };
    expect(load({ flags: { role: "primary", ...engine, ...lossy } }).problems).toEqual([]);
    const fallback = { role: "fallback", primary: "http://10.0.0.1:8080", nodeKey };
    expect(problems({ flags: { ...fallback, ...engine } })[0]).toContain("a fallback never becomes the primary");
    for (const failover of ["etcd://", "zk://a:2181", "etcd://user:secret-word@a:2379", "s3://bucket"]) {
      const [problem = ""] = problems({ flags: { role: "primary", ...peers, failover } });
      expect(problem).toStartWith("failover is");
      expect(problem).not.toContain("secret-word");
    }
    expect(
      problems({ flags: { role: "primary", ...engine, ...peers, "advanced.failoverCert": "a.crt" } })[0],
    ).toStartWith("advanced.failoverKey is not set");
  });

  test("environments are those that an edge or a fallback follows, but not one that can become the primary", () => {
    const edge = { role: "edge", primary: "http://10.0.0.1:8080", nodeKey };
    expect(load({ flags: edge }).config?.environments).toBeUndefined();
    const { config } = load({ flags: { ...edge, environments: "staging, qa-2" } });
    expect(config?.environments).toEqual(["staging", "qa-2"]);
    expect(config && describeConfig(config)).toMatchObject({ environments: "staging,qa-2" });
    const none = load({ file: file({ ...edge, environments: [] }) });
    expect(none.config?.environments).toEqual([]);
    for (const environments of ["Staging", "a,", "-a", "a_b", "registry-", "x".repeat(33)])
      expect(problems({ flags: { ...edge, environments } })[0]).toStartWith("environments is");
    expect(problems({ flags: { role: "primary", environments: "qa" } })).toEqual([
      "environments is for edges and fallbacks: a primary has all environments",
    ]);
    const failover = { failover: "etcd://10.0.0.1:2379", peers: "http://10.0.0.2:8080", ack: "edges:1" };
    expect(problems({ flags: { ...edge, ...failover, environments: "qa" } })[0]).toContain("follows all environments");
  });

  test("an environment in a role of people needs a value", () => {
    const oidc = { "oidc.issuer": "https://a.example", "oidc.audience": "a", role: "primary" };
    expect(load({ flags: { ...oidc, "oidc.read": "staging::a,x::y::" } }).problems).toEqual([]);
    expect(problems({ flags: { ...oidc, "oidc.read": "a,staging::" } })[0]).toContain("write `staging::value`");
  });

  test("a node that replicates needs a primary and a node key; one with a snapshot only needs no primary", () => {
    const missing = (flags: Record<string, string>) => problems({ flags }).map((problem) => problem.split(" ")[0]);
    expect(missing({ role: "edge" })).toEqual(["primary", "nodeKey"]);
    expect(missing({ role: "fallback", follow: "true" })).toEqual(["primary", "nodeKey"]);
    expect(missing({ role: "fallback" })).toEqual(["nodeKey"]);
    for (const role of ["edge", "fallback"])
      expect(load({ flags: { role, primary: "http://10.0.0.1:8080", nodeKey } }).problems).toEqual([]);
  });

  test("an admin key belongs to the environment, a broker password to a user", () => {
    const found = problems({
      flags: {
        role: "primary",
        environment: "prod",
        adminKey: "e_test_1_0123456789abcdef",
        brokerPassword: "secret-word",
      },
    });
    expect(found[0]).toBe("adminKey is a key of environment `test`, but environment is `prod`; make them the same");
    expect(found[1]).toStartWith("brokerUsername is not set");
    expect(found.join()).not.toContain("secret-word");
  });
});

test("a protocol of OpenTelemetry that nodes do not speak is refused", () => {
  const OTEL_EXPORTER_OTLP_PROTOCOL = "grpc";
  const flags = { role: "primary" };
  expect(
    problems({ flags, environment: { OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: "x" } }),
  ).toEqual([
    "OTEL_EXPORTER_OTLP_PROTOCOL is `grpc`; allowed: `http/protobuf`, which collectors usually accept at port 4318",
    "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL is `x`; allowed: `http/json`, which collectors usually accept at port 4318",
  ]);
  for (const environment of [
    { OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf", OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: "http/json" },
    { OTEL_EXPORTER_OTLP_PROTOCOL: "" },
    { OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_SDK_DISABLED: "true" },
  ])
    expect(load({ flags, environment }).problems).toEqual([]);
});

test("the documented test key is refused outside `ostiary dev`", () => {
  const found = problems({ flags: { role: "primary", environment: developmentEnvironment, adminKey: developmentKey } });
  expect(found).toEqual(["adminKey is the documented test key, which is public; choose another, or run `ostiary dev`"]);
});

test("the printed configuration hides secrets, and apart from them loads as the same configuration", () => {
  const flags = { role: "edge", primary: "https://p", nodeKey, refresh: "90m", "advanced.writeBodyBytesMax": "1KiB" };
  const { config } = load({ flags });
  const described = describeConfig(config!);
  expect(JSON.stringify(described)).not.toContain(nodeKey);
  expect(described).toMatchObject({
    nodeKey: "********",
    refresh: "90m",
    advanced: { writeBodyBytesMax: "1KiB", queryTimeMsMax: "20s" },
  });

  const again = load({ file: { name: "printed", content: parseYaml(formatYaml(described)) }, flags: { nodeKey } });
  expect(again.config).toEqual(config!);
});
