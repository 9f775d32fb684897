/** The start of the console in the browser. */
import { render } from "preact";
import { App } from "./app.tsx";
import { watchRoute } from "./state/route.ts";
import { startTheme } from "./state/theme.ts";

startTheme();
watchRoute();
const root = document.getElementById("console");
if (root !== null) render(<App />, root);
