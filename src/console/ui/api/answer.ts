/** The types of answers, from the declarations of endpoints. The program in the browser imports nothing else of a node. */
import type { Endpoint, Immutable, ResponseOf } from "../../../http/endpoint.ts";

/** The JSON of a successful response. */
export type Answer<E extends Endpoint> = Immutable<ResponseOf<E>>;
