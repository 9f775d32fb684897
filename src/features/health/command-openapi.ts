/** `ostiary openapi`: prints the OpenAPI document of the HTTP API, for generators of clients. */
import { defaultLimits } from "../../config/limits.ts";
import { allEndpoints } from "../all-endpoints.ts";
import { openApiDocument } from "../../http/openapi-document.ts";
import { print } from "../../runtime/process.ts";
import type { AddCommand } from "../../cli/command.ts";

export const openApiCommand: AddCommand = (program) => {
  program
    .command("openapi")
    .description("Print the OpenAPI document of the HTTP API, as GET /openapi.json answers it")
    .action(() => print(`${JSON.stringify(openApiDocument(allEndpoints, defaultLimits), null, 2)}\n`));
};
