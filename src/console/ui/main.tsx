/** The start of the console in the browser. */
import { render } from "preact";
import { watchNode } from "./api/node-api.ts";
import { App } from "./app.tsx";
import { showInvisibleCharacters } from "./components/rendered-text.ts";
import { arrive } from "./state/arrival.ts";
import { watchRoute } from "./state/route.ts";
import { startTheme } from "./state/theme.ts";

showInvisibleCharacters();
// First, because the address may have a code.
void arrive();
startTheme();
watchRoute();
watchNode();
const root = document.getElementById("console");
if (root !== null) render(<App />, root);
