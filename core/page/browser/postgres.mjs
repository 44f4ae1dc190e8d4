// A PostgreSQL of its own in a folder of its own. What must not live here: what is kept in it.
import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, chownSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const programs = resolve(process.env.CAMLOCK_POSTGRES ?? '/none');
/** It refuses to run as root. */
const NOBODY = 65_534;
const who = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

/** Often in the PATH, and not beside the others. */
const psql = existsSync(join(programs, 'psql')) ? join(programs, 'psql') : 'psql';

const freePort = () => new Promise((found) => {
  const server = createServer();
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => found(port));
  });
});

export class Postgres {
  static async start() {
    const own = new Postgres();
    own.root = mkdtempSync(join(tmpdir(), 'camlock-postgres-'));
    if (who.uid) chownSync(own.root, NOBODY, NOBODY);
    own.port = await freePort();
    const data = join(own.root, 'data');
    const made = spawnSync(join(programs, 'initdb'), ['--no-sync', '--auth=trust', '--username=camlock', '--encoding=UTF8', '-D', data], { cwd: own.root, encoding: 'utf8', ...who });
    if (made.status !== 0) throw new Error(`initdb: ${made.error ?? made.stderr}`);
    appendFileSync(join(data, 'postgresql.conf'), `port = ${own.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '${own.root}'\nfsync = off\n`);
    own.child = spawn(join(programs, 'postgres'), ['-D', data], { cwd: own.root, stdio: 'ignore', ...who });
    for (let round = 0; own.sql('SELECT 1') === null; round += 1) {
      if (round > 600) throw new Error('PostgreSQL did not start');
      await new Promise((again) => setTimeout(again, 100));
    }
    return own;
  }

  get url() {
    return `postgres://camlock@127.0.0.1:${this.port}/postgres`;
  }

  /** What a statement comes to, as a client of the database says it; null if it cannot be asked. */
  sql(statement) {
    const ran = spawnSync(psql, ['-X', '-q', '-t', '-A', '-v', 'ON_ERROR_STOP=1', '-d', this.url, '-c', statement], { encoding: 'utf8' });
    return ran.status === 0 ? ran.stdout.trim() : null;
  }

  async end() {
    const ended = new Promise((over) => this.child.on('exit', over));
    this.child.kill('SIGINT');
    await ended;
    rmSync(this.root, { recursive: true, force: true });
  }
}
