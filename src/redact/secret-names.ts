/** Names are compared without case and separators: `--api-key`, `API_KEY` and `apiKey` are one name. */
const SECRET_PART =
  /passw(or)?d|passphrase|secret|token|credential|authorization|cookie|(api|access|account|auth|encryption|private|signing|service)key/;
/** Short ones count only as a name's last part: `dbpass`, `MYSQL_PWD`, but not `passive`. */
const SECRET_END = /(pass|pwd|pw)$/;
/**
 * A name with such an ending says where a secret is, not what it is: `--password-file`, `PGPASSFILE`,
 * `--password-stdin`.
 */
const POINTS_TO_IT = /(file|filename|path|dir|stdin|prompt|policy|length)$/;

/** Whether the value with this name (of an option, a variable, a URL's parameter, a key) is a secret. */
export function isSecretName(name: string): boolean {
  if (name === 'PWD' || name === 'OLDPWD') return false; // the shell's working directory
  const plain = name.toLowerCase().replace(/[^a-z0-9]/g, '');
  return (SECRET_PART.test(plain) || SECRET_END.test(plain)) && !POINTS_TO_IT.test(plain);
}

/** Whether the argument after this option is a secret. `--password=x` has its own, `--no-password` has none. */
export function isSecretOption(option: string): boolean {
  return /^-{1,2}(?!no-)[A-Za-z][\w.-]*$/.test(option) && isSecretName(option);
}
