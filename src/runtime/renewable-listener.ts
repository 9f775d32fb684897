/**
 * A TLS listener whose certificate can be replaced without a failed request. No runtime can give an open listener another
 * certificate, so a second listener takes over the port. The first one gets no new connections, and tells clients with
 * its responses that it closes theirs. It stops when those that sent nothing have reached the idle time-out.
 */
import { platform } from "#platform";
import { preferSecondListener } from "./accepted-connections.ts";
import type { HttpServer, ListenOptions, ServerTls } from "./platform.ts";

/** What a connection can be late after the idle time-out. */
const lateMs = 5000;
/** Within this time a stopped listener has closed its socket, so that the next one is the second at the port. */
const closedMs = 1000;
/** After a failure, such as the lack of a free file descriptor. */
const retryMs = 5000;

export interface RenewableServer extends HttpServer {
  /**
   * New connections get another certificate: at once, or as soon as the last renewal is complete. It is repeated until it
   * succeeds; `onFailure` gets the error of each failure.
   */
  renew(tls: ServerTls, onFailure: (error: unknown) => void): void;
}

interface Member {
  readonly server: HttpServer;
  isCurrent: boolean;
}

/** Throws the error of the system. */
export function listenRenewably(options: ListenOptions & { readonly tls: ServerTls }): RenewableServer {
  let current = open(options, options.port, options.tls, false);
  /** Those that have connections: the current one, and earlier ones. */
  const members = new Set([current]);
  let wanted: ServerTls | undefined;
  let report = (_error: unknown): void => {};
  /** Of the next step of a renewal; undefined while there is none. */
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isStopped = false;
  const { port } = current.server;

  const replace = (): void => {
    timer = undefined;
    if (wanted === undefined || isStopped) return;
    const previous = current;
    try {
      preferSecondListener(port);
      current = open(options, port, wanted, true);
    } catch (error) {
      timer = setTimeout(replace, retryMs);
      return report(error);
    }
    wanted = undefined;
    previous.isCurrent = false;
    members.add(current);
    timer = setTimeout(retire, options.idleTimeoutMs + lateMs, previous);
  };
  // Only now, because a closing listener resets the connections that it has not accepted. Its streams go on.
  const retire = (previous: Member): void => {
    const gone = (): boolean => members.delete(previous);
    previous.server.stop().then(gone, gone);
    timer = setTimeout(replace, closedMs);
  };
  const ofAll = async (end: (server: HttpServer) => Promise<unknown>): Promise<void> => {
    await Promise.all([...members].map(({ server }) => end(server)));
  };

  return {
    port,
    renew(tls, onFailure) {
      [wanted, report] = [tls, onFailure];
      if (timer === undefined) replace();
    },
    async stop() {
      isStopped = true;
      clearTimeout(timer);
      await ofAll((server) => server.stop());
    },
    abort: () => ofAll((server) => server.abort()),
  };
}

function open(options: ListenOptions, port: number, tls: ServerTls, joins: boolean): Member {
  const answer: ListenOptions["fetch"] = (request, connections) => {
    const response = options.fetch(request, connections);
    if (member.isCurrent) return response;
    return response instanceof Promise ? response.then(closing) : closing(response);
  };
  const member: Member = { server: platform.listen({ ...options, port, tls, joins, fetch: answer }), isCurrent: true };
  return member;
}

function closing(response: Response): Response {
  response.headers.set("Connection", "close");
  return response;
}
