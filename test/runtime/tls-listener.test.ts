/** The TLS listener: what it accepts, and that its certificate is renewed without a failed request. */
import * as Bun from "bun";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { tlsFetchOptions } from "../../src/runtime/fetch.ts";
import type { ServerTls } from "../../src/runtime/platform.ts";
import { serve, type Listener, type ServeOptions, verifiesClients } from "../../src/runtime/serve.ts";
import { must } from "../../src/util/assert.ts";
import { makeAuthority, type Authority, type Certificate } from "../e2e/certificates.ts";
import { findProgram, programPath } from "../e2e/program.ts";

const hosts = ["IP:127.0.0.1"];
const pem = (path: string): string => readFileSync(path, "utf8");
const texts = ({ cert, key }: Certificate) => ({ cert: pem(cert), key: pem(key) });

describe.skipIf(findProgram("openssl") === null)("a TLS listener (skipped without openssl)", () => {
  let directory: string;
  let authority: Authority;
  let first: ServerTls;
  let second: ServerTls;
  const running: Listener[] = [];

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-listener-"));
    authority = makeAuthority(directory, "ours");
    first = texts(authority.issue("first", hosts));
    second = texts(authority.issue("second", hosts));
  });
  afterEach(async () => {
    for (const listener of running.splice(0)) await listener.stop();
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  function listen(options: Partial<ServeOptions> = {}): Listener {
    const answer = (): Response => new Response("ok");
    const listener = serve({ hostname: "127.0.0.1", port: 0, fetch: answer, tls: first, ...options });
    running.push(listener);
    return listener;
  }

  /** The common name of the certificate that a new connection gets. */
  function presented(port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, ca: pem(authority.cert) });
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
    });
  }

  test("speaks TLS 1.2 and 1.3, nothing earlier and no plain HTTP", async () => {
    const { port, url } = listen();
    expect(url).toBe(`https://127.0.0.1:${port}`);
    const accepted = async (version: string): Promise<boolean> => {
      const client = ["s_client", "-connect", `127.0.0.1:${port}`, version, "-cipher", "ALL:@SECLEVEL=0"];
      return (
        (await Bun.spawn([programPath("openssl"), ...client], { stdin: "ignore", stdout: "ignore", stderr: "ignore" })
          .exited) === 0
      );
    };
    expect(await Promise.all(["-tls1_1", "-tls1_2", "-tls1_3"].map(accepted))).toEqual([false, true, true]);
    const answer = await new Promise<string>((resolve) => {
      let received = "";
      const socket = connectPlain(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
      socket.on("data", (bytes) => (received += bytes.toString("latin1")));
      socket.on("error", () => {});
      socket.on("close", () => resolve(received));
    });
    expect(answer).not.toContain("HTTP/1.1");
  });

  test("does not share its port with another listener", () => {
    const { port } = listen();
    expect(() => listen({ port })).toThrow(`can't listen on 127.0.0.1:${port}: another program uses this port`);
    expect(() => listen({ port, tls: undefined })).toThrow("another program uses this port");
  });

  test.skipIf(!verifiesClients)("with an authority for clients accepts only their certificates", async () => {
    const strangers = makeAuthority(directory, "strangers");
    const expired = authority.issue("expired", [], ["20200101000000Z", "20200201000000Z"]);
    const { url } = listen({ tls: { ...first, clientCa: pem(authority.cert) } });
    const ask = async (own: Partial<ServerTls>): Promise<string> => {
      try {
        return await (await fetch(url, tlsFetchOptions({ ca: pem(authority.cert), ...own }))).text();
      } catch {
        return "refused";
      }
    };
    expect(await ask(texts(authority.issue("client")))).toBe("ok");
    expect(await ask({})).toBe("refused");
    expect(await ask(texts(strangers.issue("client")))).toBe("refused");
    expect(await ask(texts(expired))).toBe("refused");
  });

  test("renews its certificate without a failed request, over new and kept connections, and without cut streams", async () => {
    let items = 0;
    const listener = listen({
      idleTimeoutMs: 5000,
      fetch: async (request) => {
        if (!request.url.endsWith("/stream")) return new Response(await request.text());
        const pull = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
          await Bun.sleep(200);
          controller.enqueue(new TextEncoder().encode(`data: ${items++}\n\n`));
        };
        return new Response(new ReadableStream({ pull }));
      },
    });
    const { port, url } = listener;
    const trust = tlsFetchOptions({ ca: pem(authority.cert) });
    const failures: unknown[] = [];
    const end = new AbortController();
    let answers = 0;
    /** Repeats the work until the end, or until something has failed. */
    const repeat = async (work: () => Promise<unknown>): Promise<void> => {
      while (!end.signal.aborted && failures.length === 0) {
        await work().catch((error: unknown) => failures.push(error));
        await Bun.sleep(10);
      }
    };
    const ask = (headers: Record<string, string>) => async (): Promise<void> => {
      const body = String(answers);
      const response = await fetch(url, { method: "POST", body, headers, ...trust });
      if ((await response.text()) !== body) failures.push("another answer");
      answers++;
    };
    const stream = await fetch(`${url}/stream`, { signal: end.signal, ...trust });
    const reader = must(stream.body?.getReader());
    const untilPresented = async (name: string): Promise<void> => {
      while ((await presented(port)) !== name && failures.length === 0) await Bun.sleep(20);
      expect(failures).toEqual([]);
    };
    const load = [ask({}), ask({}), ask({ Connection: "close" }), ask({ Connection: "close" }), () => presented(port)];
    const loading = load.map(repeat);
    try {
      await untilPresented("first");
      const onFailure = (error: unknown): void => void failures.push(error);
      listener.renew?.(second, onFailure);
      await untilPresented("second");
      // These begin when the last renewal is complete, and only the last one counts.
      listener.renew?.({ ...second }, onFailure);
      listener.renew?.({ ...first }, onFailure);
      await untilPresented("first");
      // The first listener has stopped, but not its stream.
      const sent = items;
      for (let received = -1; received < sent;) {
        const { value, done } = await reader.read();
        expect(done).toBe(false);
        received = Number(/(\d+)\n\n$/.exec(new TextDecoder().decode(value))?.[1]);
      }
    } finally {
      end.abort();
      await Promise.all(loading);
    }
    expect(failures).toEqual([]);
    expect(answers).toBeGreaterThan(30);
  }, 120_000);
});
