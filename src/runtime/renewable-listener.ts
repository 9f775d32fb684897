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

export interface RenewableServer extends HttpServer {
  /**
   * New connections get another certificate. Throws the error of the system. While the last renewal is not complete, it
   * begins later, and `onFailure` gets the error.
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
  let isRenewing = false;
  let waiting: (() => void) | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const { port } = current.server;

  const replace = (tls: ServerTls): void => {
    preferSecondListener(port);
    const next = open(options, port, tls, true);
    isRenewing = true;
    const previous = current;
    previous.isCurrent = false;
    current = next;
    members.add(next);
    timer = setTimeout(retire, options.idleTimeoutMs + lateMs, previous);
  };
  // Only now, because a closing listener resets the connections that it has not accepted. Its streams go on.
  const retire = (previous: Member): void => {
    const gone = (): boolean => members.delete(previous);
    previous.server.stop().then(gone, gone);
    timer = setTimeout(complete, closedMs);
  };
  const complete = (): void => {
    isRenewing = false;
    const renewal = waiting;
    waiting = undefined;
    renewal?.();
  };
  const ofAll = async (end: (server: HttpServer) => Promise<unknown>): Promise<void> => {
    await Promise.all([...members].map(({ server }) => end(server)));
  };

  return {
    port,
    renew(tls, onFailure) {
      if (!isRenewing) return replace(tls);
      waiting = () => {
        try {
          replace(tls);
        } catch (error) {
          onFailure(error);
        }
      };
    },
    async stop() {
      clearTimeout(timer);
      isRenewing = true;
      waiting = undefined;
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
