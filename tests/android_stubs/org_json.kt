// Unlike the other stubs this one works, so that reading golden.json runs on the JVM.

package org.json

class JSONException(message: String) : Exception(message)

class JSONObject internal constructor(private val values: Map<String, Any?>) {
    constructor(text: String) : this(Reader(text).document())

    fun getInt(name: String): Int = get<Number>(name).toInt()

    fun getDouble(name: String): Double = get<Number>(name).toDouble()

    fun getString(name: String): String = get(name)

    fun getJSONObject(name: String): JSONObject = get(name)

    fun getJSONArray(name: String): JSONArray = get(name)

    private inline fun <reified T> get(name: String): T =
        values[name] as? T ?: throw JSONException("No ${T::class.simpleName} for $name")
}

class JSONArray internal constructor(private val values: List<Any?>) {
    fun length(): Int = values.size

    fun getDouble(index: Int): Double = (values[index] as Number).toDouble()

    fun getJSONObject(index: Int): JSONObject =
        values[index] as? JSONObject ?: throw JSONException("No object at $index")
}

private class Reader(private val text: String) {
    private var next = 0

    fun document(): Map<String, Any?> {
        val pairs = readObject()
        skipSpace()
        if (next != text.length) throw JSONException("More text at $next")
        return pairs
    }

    private fun readValue(): Any? {
        skipSpace()
        return when (peek()) {
            '{' -> JSONObject(readObject())
            '[' -> JSONArray(buildList { readItems(']') { add(readValue()) } })
            '"' -> readString()
            else -> readLiteral()
        }
    }

    private fun readObject(): Map<String, Any?> = buildMap {
        skipSpace()
        if (peek() != '{') throw JSONException("No object at $next")
        readItems('}') {
            skipSpace()
            val name = readString()
            skipSpace()
            take(':')
            put(name, readValue())
        }
    }

    private fun readItems(end: Char, readItem: () -> Unit) {
        next++
        skipSpace()
        if (peek() == end) {
            next++
            return
        }
        while (true) {
            readItem()
            skipSpace()
            if (peek() == end) break
            take(',')
        }
        next++
    }

    private fun readString(): String = buildString {
        take('"')
        while (peek() != '"') {
            val char = text[next++]
            append(if (char == '\\') readEscape() else char)
        }
        next++
    }

    private fun readEscape(): Char =
        when (val char = text[next++]) {
            'u' -> text.substring(next, next + 4).toInt(16).toChar().also { next += 4 }
            'n' -> '\n'
            't' -> '\t'
            'r' -> '\r'
            'b' -> '\b'
            'f' -> '\u000C'
            else -> char
        }

    private fun readLiteral(): Any? {
        val end = (next until text.length).firstOrNull { text[it] in ",]} \n\r\t" }
        val word = text.substring(next, end ?: text.length)
        next += word.length
        return when (word) {
            "null" -> null
            "true" -> true
            "false" -> false
            else -> word.toDoubleOrNull() ?: throw JSONException("No value: $word")
        }
    }

    private fun skipSpace() {
        while (next < text.length && text[next].isWhitespace()) next++
    }

    private fun peek(): Char = text.getOrNull(next) ?: throw JSONException("End of text")

    private fun take(char: Char) {
        if (peek() != char) throw JSONException("No $char at $next")
        next++
    }
}
