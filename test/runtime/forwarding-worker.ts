/** A thread that answers `/thread` itself, and forwards all other requests. It fails or hangs when it is told so. */
import { serveListenerThread } from "../../src/runtime/listener-threads.ts";
import { pathOf } from "../../src/util/request-url.ts";

const name = crypto.randomUUID();

serveListenerThread(({ forward, own }) => {
  own.onMessage((message) => {
    if (message === "fail")
      setTimeout(() => {
        throw new Error("the thread was told to fail");
      });
    // No event is handled any more.
    if (message === "hang") for (;;);
  });
  return {
    fetch(request, connections) {
      if (pathOf(request.url) === "/thread") return new Response(name);
      return forward(request, connections);
    },
    close() {},
  };
});
