/**
 * A process that runs one attack. Its plan comes as a JSON parameter; it prints a report each second and a last one at
 * its end.
 */
import { AttackContext, type AttackPlan } from "./attack.ts";
import { findAttack } from "./attacks.ts";
import { endWithStandardInput, tell } from "../harness/child-process.ts";

endWithStandardInput();
const plan = JSON.parse(process.argv[2] ?? "") as AttackPlan;
const context = new AttackContext(plan);
const timer = setInterval(() => tell(context.report), 1000);
await findAttack(plan.attack)(context);
clearInterval(timer);
tell(context.report);
process.exit(0);
