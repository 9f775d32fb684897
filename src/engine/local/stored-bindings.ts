/** The data bindings that an environment stores, for the layers that do not know the store. */
export { bindingsName, bindingsNameOf, isBindingsRow, type StoredBindings } from "../../store/keys/stored-bindings.ts";
