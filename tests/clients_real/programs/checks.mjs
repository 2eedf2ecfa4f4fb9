// Checks of one framework: run one after the other, each told as a line of JSON, as in checks.py.

const asked = JSON.parse(process.argv[2])
export const { url, key, model, prompts, turns } = asked
export const NO_MODEL = 'claude-none-1'
export const NO_KEY = 'sk-nobody'
export const SPENT_KEY = asked.spent_key // of somebody who has spent what there was for the day

export const ADDING = {
  type: 'object',
  properties: { a: { type: 'integer' }, b: { type: 'integer' } },
  required: ['a', 'b'],
  additionalProperties: false,
}

export const say = (text) => [{ role: 'user', content: text }]

// A text that came in pieces, and whether those were several.
export async function pieces(stream, textOf = (each) => each) {
  const came = []
  for await (const each of stream) if (textOf(each)) came.push(textOf(each))
  return [came.join(''), came.length > 1]
}

// The status of the error that each raises.
export async function failed(...checks) {
  const seen = []
  for (const check of checks) {
    try {
      await check()
      seen.push('nothing was raised')
    } catch (error) {
      seen.push(error.status ?? error.statusCode ?? String(error))
    }
  }
  return seen
}

export async function run(clients) {
  for (const [client, checks] of Object.entries(clients)) {
    for (const [name, check] of Object.entries(checks)) {
      let seen
      try {
        seen = await check()
      } catch (error) {
        seen = String(error)
      }
      console.log(JSON.stringify({ client, check: name, seen }))
    }
  }
}
