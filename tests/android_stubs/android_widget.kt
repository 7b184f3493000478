package android.widget

import android.graphics.Bitmap
import android.view.View
import android.view.ViewGroup

open class LinearLayout : ViewGroup()

open class FrameLayout : ViewGroup()

open class TextView : View() {
    var text: CharSequence = ""

    fun setText(id: Int) {}
}

open class Button : TextView()

open class ProgressBar : View() {
    var progress: Int = 0
}

open class ImageView : View() {
    fun setImageBitmap(bitmap: Bitmap?) {}
}

open class RadioGroup : LinearLayout() {
    fun interface OnCheckedChangeListener {
        fun onCheckedChanged(group: RadioGroup, checkedId: Int)
    }

    fun setOnCheckedChangeListener(listener: OnCheckedChangeListener?) {}
}
