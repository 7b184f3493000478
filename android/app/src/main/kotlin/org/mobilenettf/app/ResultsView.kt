package org.mobilenettf.app

import android.app.Activity
import android.view.LayoutInflater
import android.view.View
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView
import kotlin.math.roundToInt

/** Shows an answer: the status line, the latency and a bar for each class. */
class ResultsView(private val activity: Activity) {
    private val status: TextView = activity.findViewById(R.id.status)
    private val latency: TextView = activity.findViewById(R.id.latency)
    private val rows: LinearLayout = activity.findViewById(R.id.results)

    /** Shows one sentence and no result. */
    fun say(sentence: String) {
        setStatus(sentence)
        latency.text = ""
        rows.removeAllViews()
    }

    /** Shows an answer. */
    fun show(answer: Answer, engineName: String) {
        setStatus(activity.getString(R.string.most_likely, answer.guesses.first().label))
        latency.text = activity.getString(R.string.latency, engineName, answer.latencyMs)
        while (rows.childCount < answer.guesses.size) {
            LayoutInflater.from(activity).inflate(R.layout.row_result, rows, true)
        }
        while (rows.childCount > answer.guesses.size) rows.removeViewAt(rows.childCount - 1)
        answer.guesses.forEachIndexed { index, guess -> fill(rows.getChildAt(index), guess) }
    }

    private fun fill(row: View, guess: Guess) {
        val percent = 100 * guess.probability
        row.findViewById<TextView>(R.id.label).text = guess.label
        row.findViewById<TextView>(R.id.percent).text =
            activity.getString(R.string.percent, percent)
        row.findViewById<ProgressBar>(R.id.bar).progress = (10 * percent).roundToInt()
        row.contentDescription = activity.getString(R.string.row_description, guess.label, percent)
    }

    /** The line is a live region: TalkBack reads each change, so the same text is not set again. */
    private fun setStatus(text: String) {
        if (status.text.toString() != text) status.text = text
    }
}
