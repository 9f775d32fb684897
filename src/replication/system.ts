/**
 * The interface between a node and its surroundings: time, network and threads. It is one object that is passed in, so
 * that tests can run a whole cluster in one process with a simulated clock and network, and the same wiring.
 */
import { connect, type IClientOptions, type MqttClient } from "mqtt";
import { approvePolicies } from "../engine/workers/policy-checks.ts";
import type { WriterSystem } from "../log/writer/writer.ts";
import { compileAhead } from "../policy/compile-ahead.ts";
import { fetch, type TlsTexts } from "../runtime/fetch.ts";
import { spreadsConnections } from "../runtime/listener-threads.ts";
import { serve, type Listener, type ServeOptions } from "../runtime/serve.ts";
import { spawnWorker } from "../runtime/spawn-worker.ts";
import { inThisEnvironment } from "../telemetry/current-environment.ts";
import { systemClock } from "../util/clock.ts";

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface System extends WriterSystem {
  readonly fetch: Fetch;
  /** Makes one attempt to connect to a broker. */
  connectMqtt(options: IClientOptions): MqttClient;
  serve(options: ServeOptions): Listener;
  /** Whether `serve` can spread connections over threads. By default it cannot. */
  readonly spreadsConnections?: boolean;
  /** What this node presents to other nodes and trusts of them; undefined without a certificate and an authority. */
  readonly nodeTls?: () => TlsTexts;
}

export const realSystem: System = {
  clock: systemClock,
  fetch,
  connectMqtt,
  spawnWorker,
  approvePolicies,
  compileAhead,
  serve,
  spreadsConnections,
};

/** The listeners of the client run in the environment of the caller, which the messages of a socket do not have. */
function connectMqtt(options: IClientOptions): MqttClient {
  const client = connect(options);
  client.emit = inThisEnvironment(client.emit.bind(client)) as MqttClient["emit"];
  return client;
}
