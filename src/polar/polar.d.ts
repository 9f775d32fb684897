/** Policies are imported as text. */
declare module "*.polar" {
  const text: string;
  export default text;
}
