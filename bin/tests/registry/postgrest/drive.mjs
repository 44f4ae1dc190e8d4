// Drives powertable with the client that PostgREST's users have. Usage: node drive.mjs FOLDER-OF-POSTGREST-JS URL
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const [, , folder, url] = process.argv
const { PostgrestClient } = createRequire(`${folder}/`)('@supabase/postgrest-js')
const client = new PostgrestClient(url)

async function define(name, columns) {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(`${url}/tables`, { method: 'POST', headers, body: JSON.stringify({ name, columns }) })
  assert.equal(answer.status, 201, await answer.text())
}

/** What came, if nothing is wrong. */
async function data(query) {
  const { data, error } = await query
  assert.equal(error, null, JSON.stringify(error))
  return data
}

const names = async (query) => (await data(query)).map((row) => row.name)

await define('authors', [
  { name: 'name', type: 'text', required: true, unique: true },
  { name: 'born', type: 'integer' },
  { name: 'height', type: 'real' },
  { name: 'alive', type: 'boolean', default: false },
  { name: 'data', type: 'json' },
  { name: 'seen', type: 'timestamp' },
])
await define('books', [
  { name: 'title', type: 'text', required: true },
  { name: 'author', type: 'integer', references: { table: 'authors', on_delete: 'cascade' } },
])
const authors = () => client.from('authors')

// insert
const ada = await data(authors().insert({ name: 'Ada', born: 1815, data: { tags: ['a', "b'"] } }).select().single())
assert.deepEqual(ada, {
  id: 1, name: 'Ada', born: 1815, height: null, alive: false, data: { tags: ['a', "b'"] }, seen: null,
})
const two = [
  { name: 'Grace', born: 1906, height: 1.68, seen: '2026-01-31T12:00:00.5+01:00' },
  { name: 'Barbara', born: 1939, alive: true },
]
const added = await data(authors().insert(two, { defaultToNull: false }).select('name,alive,seen'))
assert.deepEqual(added, [
  { name: 'Grace', alive: false, seen: '2026-01-31T11:00:00.5+00:00' },
  { name: 'Barbara', alive: true, seen: null },
])
assert.equal(await data(authors().insert({ name: 'a,b (d)' })), null)

// filters
const all = () => authors().select('name').order('id')
assert.deepEqual(await names(all().eq('born', 1815)), ['Ada'])
assert.deepEqual(await names(all().neq('born', 1815)), ['Grace', 'Barbara'])
assert.deepEqual(await names(all().gt('born', 1815).lte('born', 1939)), ['Grace', 'Barbara'])
assert.deepEqual(await names(all().gte('born', 1815).lt('born', 1939)), ['Ada', 'Grace'])
assert.deepEqual(await names(all().like('name', '%ra%')), ['Grace', 'Barbara'])
assert.deepEqual(await names(all().like('name', 'g%')), [])
assert.deepEqual(await names(all().ilike('name', 'g%')), ['Grace'])
assert.deepEqual(await names(all().in('name', ['Ada', 'a,b (d)'])), ['Ada', 'a,b (d)'])
assert.deepEqual(await names(all().is('born', null)), ['a,b (d)'])
assert.deepEqual(await names(all().is('alive', true)), ['Barbara'])
assert.deepEqual(await names(all().not('born', 'is', null).not('name', 'in', '(Ada,Grace)')), ['Barbara'])
assert.deepEqual(await names(all().or('born.lt.1850,and(alive.is.true,name.eq.Barbara)')), ['Ada', 'Barbara'])
assert.deepEqual(await names(all().or('name.eq."a,b (d)",born.eq.1906')), ['Grace', 'a,b (d)'])
assert.deepEqual(await names(all().gte('seen', '2026-01-31T11:00:00Z')), ['Grace'])
assert.deepEqual(await names(all().match({ born: 1939, alive: true })), ['Barbara'])
assert.deepEqual(await names(all().filter('height', 'gt', 1.5)), ['Grace'])

// order, ranges and counts
const ordered = (column, options) => names(authors().select('name').order(column, options).limit(2))
assert.deepEqual(await ordered('born', { ascending: false }), ['a,b (d)', 'Barbara'])
assert.deepEqual(await ordered('born', { ascending: false, nullsFirst: false }), ['Barbara', 'Grace'])
assert.deepEqual(await ordered('name', {}), ['Ada', 'Barbara'])
const part = await authors().select('name', { count: 'exact' }).order('id').range(1, 2)
assert.deepEqual([part.status, part.count, part.data.length], [206, 4, 2])
const counted = await authors().select('*', { count: 'exact', head: true }).gt('born', 1900)
assert.deepEqual([counted.status, counted.count, counted.data], [200, 2, null])
const beyond = await authors().select('*', { count: 'exact' }).range(10, 20)
assert.equal(beyond.error?.code, 'PGRST103', JSON.stringify(beyond))

// one row, or none
assert.equal((await data(authors().select('year:born').eq('name', 'Ada').single())).year, 1815)
assert.equal(await data(authors().select().eq('name', 'Nobody').maybeSingle()), null)
assert.equal((await authors().select().eq('name', 'Nobody').single()).error.code, 'PGRST116')
assert.equal((await authors().select().single()).error.code, 'PGRST116')
const csv = await data(authors().select('name,born').order('id').limit(2).csv())
assert.equal(csv, 'name,born\nAda,1815\nGrace,1906\n')

// update, upsert, delete
assert.deepEqual(await data(authors().update({ height: 1.6 }).eq('name', 'Ada').select('name,height')), [
  { name: 'Ada', height: 1.6 },
])
const changed = await authors().update({ alive: false }, { count: 'exact' }).gt('born', 1900)
assert.deepEqual([changed.status, changed.count], [204, 2])
const merged = [{ name: 'Ada', born: 1816 }, { name: 'Jean', born: 1928 }]
const upserted = await data(authors().upsert(merged, { onConflict: 'name' }).select('id,name,born').order('id'))
assert.deepEqual(upserted.map((row) => [row.name, row.born]), [['Ada', 1816], ['Jean', 1928]])
assert.equal(upserted[0].id, 1)
const again = authors().upsert({ name: 'Ada', born: 1 }, { onConflict: 'name', ignoreDuplicates: true })
assert.deepEqual(await data(again.select()), [])
assert.equal((await data(authors().upsert({ id: 1, name: 'Ada', born: 1815 }).select('born').single())).born, 1815)
// An id of one's own, and what is numbered after it.
await data(authors().insert({ id: 1000, name: 'Thousand' }))
assert.equal((await data(authors().insert({ name: 'Next' }).select('id').single())).id, 1001)
assert.deepEqual(await names(authors().delete().gte('id', 1000).select('name')), ['Thousand', 'Next'])

// what is refused
const refused = async (query) => {
  const { error, status } = await query
  return [status, error?.code]
}
assert.deepEqual(await refused(authors().insert({ name: 'Ada' })), [409, '23505'])
assert.deepEqual(await refused(authors().insert({ born: 1 })), [400, '23502'])
assert.deepEqual(await refused(authors().insert({ name: 'X', born: 'early' })), [400, '22P02'])
assert.deepEqual(await refused(authors().insert({ name: 'X', died: 1 })), [400, '42703'])
assert.deepEqual(await refused(authors().select().eq('died', 1)), [400, '42703'])
assert.deepEqual(await refused(authors().select('*,books(*)')), [400, 'PGRST100'])
assert.deepEqual(await refused(client.from('nothing').select()), [404, 'PGRST205'])
assert.deepEqual(await refused(client.from('books').insert({ title: 'X', author: 99 })), [409, '23503'])
// One that fails takes the others with it.
assert.deepEqual(await refused(authors().insert([{ name: 'Y' }, { name: 'Ada' }])), [409, '23505'])
assert.deepEqual(await names(all().eq('name', 'Y')), [])

// foreign keys
await data(client.from('books').insert({ title: 'Notes', author: 1 }))
await data(authors().delete().eq('id', 1))
assert.deepEqual(await data(client.from('books').select()), [])

for (const name of ['books', 'authors']) {
  assert.equal((await fetch(`${url}/tables/${name}`, { method: 'DELETE' })).status, 204)
}
console.log('all is as PostgREST has it')
