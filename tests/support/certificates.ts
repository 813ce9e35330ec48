import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Creates certificates with the machine's openssl, once for each test file. */
export const hasOpenssl = spawnSync('openssl', ['version'], { stdio: 'ignore' }).status === 0;

export interface Certificate {
  cert: string;
  key: string;
}

/** Certificate authorities, and what they sign, in a folder that is removed at the end. */
export class Certificates {
  readonly folder = mkdtempSync(join(tmpdir(), 'migrate-lock-certificates-'));

  authority(name: string): Certificate {
    const made = this.#paths(name);
    this.#openssl(
      ...['req', '-x509', '-days', '2', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-subj', `/CN=${name}`, '-keyout', made.key, '-out', made.cert],
    );
    return made;
  }

  /** `names` as in subjectAltName: `DNS:localhost`, `IP:127.0.0.1`. */
  signed(name: string, by: Certificate, names?: string): Certificate {
    const made = this.#paths(name);
    const [request, extensions] = [`${made.cert}.csr`, `${made.cert}.ext`];
    this.#openssl(
      ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`],
      ...['-keyout', made.key, '-out', request],
    );
    writeFileSync(extensions, names === undefined ? '' : `subjectAltName=${names}\n`);
    this.#openssl(
      ...['x509', '-req', '-days', '2', '-in', request, '-CA', by.cert, '-CAkey', by.key, '-CAcreateserial'],
      ...['-extfile', extensions, '-out', made.cert],
    );
    return made;
  }

  /** A self-signed certificate, with a key and a signature as openssl's arguments say. */
  selfSigned(name: string, ...algorithm: string[]): Certificate {
    const made = this.#paths(name);
    this.#openssl(
      ...['req', '-x509', '-days', '2', '-nodes', '-subj', `/CN=${name}`, ...algorithm],
      ...['-keyout', made.key, '-out', made.cert],
    );
    return made;
  }

  /**
   * A list of the certificates that the authority has revoked.
   * @returns its path.
   */
  revocations(name: string, by: Certificate, revoked: readonly Certificate[]): string {
    const [list, database] = [join(this.folder, `${name}.crl`), join(this.folder, `${name}.index`)];
    const settings = join(this.folder, `${name}.conf`);
    writeFileSync(database, '');
    writeFileSync(
      settings,
      `[ca]\ndefault_ca = own\n[own]\ndatabase = ${database}\ndefault_md = sha256\ndefault_crl_days = 2\n`,
    );
    const own = ['ca', '-config', settings, '-keyfile', by.key, '-cert', by.cert];
    for (const { cert } of revoked) this.#openssl(...own, '-revoke', cert);
    this.#openssl(...own, '-gencrl', '-out', list);
    return list;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  #paths(name: string): Certificate {
    return { cert: join(this.folder, `${name}.crt`), key: join(this.folder, `${name}.key`) };
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { stdio: 'pipe' });
  }
}
